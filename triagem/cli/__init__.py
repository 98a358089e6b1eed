"""The command `triagem`: thin edges around the rooms, the local stack, and the demo."""
