"""What the rooms say to each other: pydantic and the standard library only, no I/O."""
