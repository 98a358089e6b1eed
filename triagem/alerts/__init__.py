"""What people are told: which alerts go where, in which words, and that the system is unwell."""
