"""Waits for a condition instead of sleeping."""

import time
from collections.abc import Callable
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import psycopg


def until(done: Callable[[], bool], *, seconds: float = 90.0, every: float = 0.01) -> None:
    """Return as soon as `done()` is true; fail the test after `seconds`.

    Pauses `every` seconds between two calls, and four times the processor time of a call, but at most a second more:
    a call that starts a command must not take the processor from what the test waits for.
    """
    end = time.monotonic() + seconds
    used = _processor_time()
    while not done():
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {seconds} s")
        used, before = _processor_time(), used
        time.sleep(every + min(1.0, 4 * (used - before)))
        used = _processor_time()


def _processor_time() -> float:
    """Processor time of this process and of the ended processes that it started."""
    usages = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def blocked(by: psycopg.Connection) -> int:
    """The number of sessions that wait for a lock of this session."""
    with psycopg.connect(by.info.dsn, password=by.info.password) as other:
        (count,) = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [by.info.backend_pid]
        ).fetchone() or (0,)
    return int(count)
