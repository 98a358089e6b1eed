"""Runs over stored tickets: what puts them on the bulk lane, page by page, and when."""
