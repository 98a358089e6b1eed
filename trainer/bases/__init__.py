"""Base models: packaged bases that pip installs (verified and converted), hub ids, and folders."""
