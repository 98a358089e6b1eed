"""The command `triagem`: thin edges around the other packages, the local stack, and the demo."""
