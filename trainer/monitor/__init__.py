"""Checks a version in production: input drift, and whether training is due. No torch."""
