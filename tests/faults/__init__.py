"""Fault injection for the pipeline. After each fault, every accepted ticket must have exactly one result.

`python -m tests.faults` runs the faults in full; `tests/e2e/test_faults.py` runs a short form of each.
"""
