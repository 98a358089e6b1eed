"""Concurrent and interrupted writes of windows: order of locks, and autocommit."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier
from typing import Any, Final

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import Connection, event, text

from tests.support.builders import YESTERDAY
from tests.support.waiting import until
from tests.support.windows import result, rows
from triagem.db import Database
from triagem.db.tickets.window import WindowCounts, write_window
from triagem.stack import Endpoints

BOTH_WAYS: Final = pytest.mark.parametrize("order", [1, -1], ids=["in order", "in reverse"])


class TestLockOrder:
    """INV-12: two workers that lock the same tickets in opposite orders would deadlock."""

    WINDOW: Final = [f"{number:02}" for number in range(21)]

    @pytest.fixture
    def filled(self, database: Database) -> Database:
        write_window(database, [result(external_id=name) for name in self.WINDOW])
        return database

    def test_overlapping_windows_in_opposite_orders_never_deadlock(self, filled: Database) -> None:
        barrier = Barrier(2)

        def work(order: int) -> None:
            for minute in range(50):
                window = [result("B", minute=minute, external_id=name) for name in self.WINDOW[::order]]
                barrier.wait(timeout=30)
                write_window(filled, window)

        with ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(work, order) for order in (1, -1)]:
                future.result()

        assert {row["revised_at"] for row in rows(filled, "tickets")} == {YESTERDAY + timedelta(minutes=49)}

    def test_two_windows_that_are_blocked_midway_both_finish(self, filled: Database, endpoints: Endpoints) -> None:
        def work(order: int) -> WindowCounts:
            return write_window(filled, [result("B", minute=1, external_id=name) for name in self.WINDOW[::order]])

        assert self._run_blocked(endpoints, work) == [None, None]

    def test_without_that_order_the_same_two_windows_deadlock(self, filled: Database, endpoints: Endpoints) -> None:
        def work(order: int) -> None:
            with psycopg.connect(endpoints.database_url) as connection:
                for name in self.WINDOW[::order]:
                    connection.execute("UPDATE tickets SET epoch = epoch WHERE external_id = %s", [name])

        assert {type(error) for error in self._run_blocked(endpoints, work)} == {
            type(None),
            psycopg.errors.DeadlockDetected,
        }

    def _run_blocked(self, endpoints: Endpoints, work: Callable[[int], object]) -> list[BaseException | None]:
        """Runs `work` in both orders, blocks both until each waits for a lock, and returns how they end."""
        with ThreadPoolExecutor(2) as pool, psycopg.connect(endpoints.database_url) as blocker:
            blocker.execute("SELECT FROM tickets WHERE external_id = %s FOR UPDATE", [self.WINDOW[10]])
            futures = [pool.submit(work, order) for order in (1, -1)]
            with observing(endpoints) as observe:
                until(
                    lambda: observe("SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted") == [{"waiting": 2}]
                )
            blocker.rollback()
            return [future.exception(timeout=30) for future in futures]


@contextmanager
def observing(endpoints: Endpoints) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """A function that queries in a separate session."""
    with psycopg.connect(endpoints.database_url, autocommit=True, row_factory=dict_row) as connection:
        yield lambda query, *values: connection.execute(query, values).fetchall()


class TestAutocommit:
    """INV-13: a process that is stopped or killed between statement and COMMIT would hold its locks forever."""

    def test_a_process_that_is_stopped_right_after_its_statement_has_committed_it(
        self, database: Database, endpoints: Endpoints
    ) -> None:
        write_window(database, [result()])
        observed = []
        with observing(endpoints) as observe:

            @event.listens_for(database.engine, "after_cursor_execute")
            def stopped_here(_connection: Connection, cursor: Any, *_: object) -> None:
                pid = cursor.connection.info.backend_pid
                observed.append(observe("SELECT state, xact_start FROM pg_stat_activity WHERE pid = %s", pid))
                observed.append(observe("SELECT epoch FROM tickets FOR UPDATE NOWAIT"))

            write_window(database, [result(epoch=2)])

        assert observed == [[{"state": "idle", "xact_start": None}], [{"epoch": 2}]]  # once: one statement

    def test_every_session_has_limits_for_statements_and_locks(self, database: Database) -> None:
        with database.autocommit() as connection:
            limits = [connection.execute(text(f"SHOW {name}_timeout")).scalar() for name in ("statement", "lock")]

        assert limits == ["30s", "10s"]
