"""A soak test: all processes are killed and frozen at random under traffic, promotions and runs.

`make soak` runs it for ten minutes and ends with a verdict.
"""
