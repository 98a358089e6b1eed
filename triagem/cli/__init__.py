"""The command `triagem`: calls the other packages and prints what they return. Also the demo."""
