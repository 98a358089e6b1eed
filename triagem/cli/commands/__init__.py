"""One file a command; each imports its rooms when called, so that `--help` is quick and torch stays optional."""
