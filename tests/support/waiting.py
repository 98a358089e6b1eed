"""Waits for a condition instead of sleeping."""

import time
from collections.abc import Callable

import psycopg


def until(done: Callable[[], bool], *, seconds: float = 90.0, every: float = 0.01) -> None:
    """Return as soon as `done()`, called every `every` seconds, is true; fail the test after `seconds`."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {seconds} s")
        time.sleep(every)


def blocked(by: psycopg.Connection) -> int:
    """The number of sessions that wait for a lock of this session."""
    with psycopg.connect(by.info.dsn, password=by.info.password) as other:
        (count,) = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [by.info.backend_pid]
        ).fetchone() or (0,)
    return int(count)
