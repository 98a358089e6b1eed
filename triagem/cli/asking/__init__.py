"""A reviewing session on a terminal: texts one by one, a key for each answer, in English or Portuguese."""
