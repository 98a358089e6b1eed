"""One module per command. Each imports its packages when called, so that `--help` is fast and torch is optional."""
