"""Side-by-side figures: everything that is compared runs in one process, in turns, on the same texts."""
