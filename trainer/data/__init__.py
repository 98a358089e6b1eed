"""Labelled rows: reading, auditing and splitting them. No torch."""
