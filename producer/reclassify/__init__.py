"""Reclassification runs over stored tickets: puts pages on the bulk lane, on a schedule."""
