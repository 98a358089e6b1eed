"""Triagem: customers' messages in; support or sales, and how sure, out."""
