"""Tickets: write windows of results, query and search them, forget them, and keep dead letters."""
