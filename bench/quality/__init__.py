"""Experiments on model quality: unseen domains, and the promises of `triagem preflight`."""
