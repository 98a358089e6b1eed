"""Interactive review session on a terminal: one text at a time, one key per answer, in English or Portuguese."""
