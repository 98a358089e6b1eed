"""Hostile clients against a gateway process, while a legitimate client uses it."""
