"""Mutations: planted faults in worker, ops, inbox, db, contracts and engine, and the tests that catch each.

`python -m tests.mutations` plants them one by one in a copy of the project and runs the tests recorded for each. They
must fail. It guards refactorings: a fault that the tests caught before is still caught after.
"""
