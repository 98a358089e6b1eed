"""Types and errors shared by all packages. Only pydantic and the standard library, no I/O."""
