"""Waits for a condition instead of sleeping."""

import time
from collections.abc import Callable


def until(done: Callable[[], bool], *, seconds: float = 90.0) -> None:
    """Return as soon as `done()` is true; fail the test after `seconds`."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {seconds} s")
        time.sleep(0.01)
