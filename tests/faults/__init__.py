"""What is done to the pipe on purpose, and what must be left afterwards: everything that was accepted, once.

`python -m tests.faults` inflicts the faults in full; `tests/e2e/test_faults.py` runs a short form of each.
"""
