"""Waits for a condition instead of sleeping."""

import time
from collections.abc import Callable

import psycopg


def until(done: Callable[[], bool], *, seconds: float = 90.0, every: float = 0.01) -> None:
    """Return as soon as `done()` is true; fail the test after `seconds`.

    Pauses `every` seconds between two calls, and at least as long as four calls take, but at most a second more:
    a call that queries a server or starts a command must not take the processor from what the test waits for.
    """
    end = time.monotonic() + seconds
    while True:
        called = time.monotonic()
        if done():
            return
        now = time.monotonic()
        if now > end:
            raise AssertionError(f"did not happen within {seconds} s")
        time.sleep(every + min(1.0, 4 * (now - called)))


def blocked(by: psycopg.Connection) -> int:
    """The number of sessions that wait for a lock of this session."""
    with psycopg.connect(by.info.dsn, password=by.info.password) as other:
        (count,) = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [by.info.backend_pid]
        ).fetchone() or (0,)
    return int(count)
