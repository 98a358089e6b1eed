"""Checks of a version in production: input drift, and whether to train again. No torch."""
