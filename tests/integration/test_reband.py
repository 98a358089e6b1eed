"""Re-banding of stored results with other thresholds: which rows change, and which rows never change."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from math import inf, nextafter
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.builders import NOW
from tests.support.results import FORGET, insert_review, result, set_tombstone
from tests.support.runs import scalar
from tests.support.waiting import until
from tests.support.windows import all_rows, rows
from triagem.contracts.prediction import Band, Thresholds
from triagem.db import Database
from triagem.db.runs.reband import PAGE, RebandGroup, reband
from triagem.db.tickets.window import write_window
from triagem.stack import Endpoints
from triagem.worker.bands import decide_band, min_automated_confidence

MIN_CONFIDENCES: Final = {"v1.0.0": 0.8}


def bands(database: Database, source: str = "zendesk") -> dict[str, str]:
    """The band of each ticket of a source, by its name."""
    return {row["external_id"]: row["band"] for row in rows(database, "tickets") if row["source"] == source}


def reband_all(
    database: Database, min_confidences: dict[str, float] | None = None, **options: Any
) -> list[tuple[int, Mapping[RebandGroup, int]]]:
    """Re-bands all pages and returns them."""
    return list(reband(database, min_confidences or MIN_CONFIDENCES, **options))


def changed_count(pages: list[tuple[int, Mapping[RebandGroup, int]]]) -> int:
    """The number of tickets whose band changed."""
    return sum(tickets for _, groups in pages for group, tickets in groups.items() if group.before != group.after)


CONFIDENCES = st.floats(0.5, 1)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stored=st.lists(st.tuples(CONFIDENCES, st.sampled_from(["automate", "review"])), min_size=1),
    review=CONFIDENCES,
    cutoff=CONFIDENCES,
)
@example(stored=[(0.8, "review"), (nextafter(0.8, 0), "automate")], review=0.8, cutoff=0.0)
@example(stored=[(0.8, "review"), (nextafter(0.8, 0), "automate")], review=0.5, cutoff=0.8)
@example(stored=[(1.0, "automate")], review=0.5, cutoff=inf)
def test_a_stored_result_gets_the_band_that_decide_band_gives(
    database: Database, stored: list[tuple[float, str]], review: float, cutoff: float
) -> None:
    thresholds, source = Thresholds(review=review), uuid4().hex
    write_window(
        database,
        [
            result(str(index), source=source, confidence=confidence, band=Band(band))
            for index, (confidence, band) in enumerate(stored)
        ],
    )
    reband_all(database, {"v1.0.0": min_automated_confidence(thresholds, cutoff)})
    assert bands(database, source) == {
        str(index): decide_band(
            [1 - confidence, confidence], ("suporte", "venda"), thresholds, budget_cutoff=cutoff
        ).band
        for index, (confidence, _) in enumerate(stored)
    }


def test_only_the_current_result_and_its_history_row_change(database: Database) -> None:
    write_window(database, [result("1", model="v0.9.0", epoch=0, confidence=0.75)])
    write_window(database, [result("1", confidence=0.75)])
    write_window(database, [result("1", confidence=0.75, text="B", revised_at=NOW)])
    reband_all(database, {"v0.9.0": 0.8, "v1.0.0": 0.8})
    assert bands(database) == {"1": "review"}
    assert {(bytes(row["digest"]), row["model_version"], row["band"]) for row in rows(database, "predictions")} == {
        (b"A", "v0.9.0", "automate"),
        (b"A", "v1.0.0", "automate"),
        (b"B", "v1.0.0", "review"),
    }
    assert scalar(database, "SELECT band FROM analytics.history WHERE is_current") == "review"
    assert scalar(database, "SELECT band FROM results") == "review"


def test_nothing_but_bands_is_written_and_nobody_is_notified(database: Database) -> None:
    with database.autocommit() as connection:
        connection.exec_driver_sql("INSERT INTO result_targets (source, target) VALUES ('zendesk', 'zendesk')")
    write_window(database, [result(name, confidence=0.75) for name in "12"])
    insert_review(database, "1", "suporte")
    tables = ("deliveries", "search_queue", "run_changes")
    before, row_counts = all_rows(database), {table: row_count(database, table) for table in tables}
    reband_all(database)
    for table in ("tickets", "predictions"):
        for row in before[table]:
            row["band"] = "review"
    after = all_rows(database)
    for row in (*before["tickets"], *after["tickets"]):
        del row["changed_xid"]  # the change feed lists each new band
    assert after == before
    assert {table: row_count(database, table) for table in tables} == row_counts
    assert scalar(database, "SELECT label FROM results WHERE external_id = '1'") == "suporte"


def row_count(database: Database, table: str) -> int:
    """The number of rows in a table."""
    return int(scalar(database, f"SELECT count(*) FROM {table}"))


def test_forgotten_and_abstained_results_stay(database: Database) -> None:
    write_window(database, [result("gone"), result("odd", band=Band.ABSTAIN), result("plain")])
    set_tombstone(database, "gone")
    ((_, groups),) = reband_all(database, {"v1.0.0": 0.95})
    assert bands(database) == {"gone": None, "odd": "abstain", "plain": "review"}
    assert dict(groups) == {
        RebandGroup("v1.0.0", True, "venda", "abstain", "abstain"): 1,
        RebandGroup("v1.0.0", True, "venda", "automate", "review"): 1,
    }


def test_a_version_without_a_threshold_is_left_alone_and_counted(database: Database) -> None:
    write_window(database, [result("1", model="v0.9.0", confidence=0.1), result("2", confidence=0.1)])
    ((_, groups),) = reband_all(database)
    assert bands(database) == {"1": "automate", "2": "review"}
    assert groups[RebandGroup("v0.9.0", False, "venda", "automate", "automate")] == 1


def test_a_dry_run_reports_what_would_change_and_changes_nothing(database: Database) -> None:
    write_window(database, [result("1", confidence=0.75), result("2")])
    before = all_rows(database)
    ((_, groups),) = reband_all(database, dry_run=True)
    assert all_rows(database) == before
    assert dict(groups) == {
        RebandGroup("v1.0.0", True, "venda", "automate", "review"): 1,
        RebandGroup("v1.0.0", True, "venda", "automate", "automate"): 1,
    }


def test_an_interrupted_run_is_completed_by_the_next_and_another_changes_nothing(database: Database) -> None:
    total = 2 * PAGE + 1
    write_window(database, [result(f"{number:04}", confidence=0.75) for number in range(total)])
    first_page = next(iter(reband(database, MIN_CONFIDENCES)))
    assert changed_count([first_page]) == PAGE
    second_run = reband_all(database)
    assert [scanned for scanned, _ in second_run] == [PAGE, PAGE, 1]
    assert changed_count(second_run) == total - PAGE
    assert set(bands(database).values()) == {"review"}
    assert changed_count(reband_all(database)) == 0


class TestConcurrentWorkers:
    """The re-banding statement waits for a row's lock, and the row changes before it gets the lock."""

    @pytest.mark.parametrize(
        "concurrent_change", ["model_version = 'v1.1.0'", "digest = 'B'", "confidence = 0.99", FORGET]
    )
    def test_a_ticket_that_changed_meanwhile_is_left_alone(
        self, database: Database, endpoints: Endpoints, concurrent_change: str
    ) -> None:
        write_window(database, [result("1", confidence=0.75), result("2", confidence=0.75)])
        with ThreadPoolExecutor(1) as pool, psycopg.connect(endpoints.database_url) as worker:
            worker.execute(f"UPDATE tickets SET {concurrent_change} WHERE external_id = '1'".encode())
            waiting = pool.submit(reband_all, database, {"v1.0.0": 0.8, "v1.1.0": 0.8})
            until(lambda: worker.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None)
            worker.commit()
            pages = waiting.result(timeout=30)
        assert bands(database) == {"1": None if concurrent_change == FORGET else "automate", "2": "review"}
        assert changed_count(pages) == 1

    def test_locks_are_taken_in_the_order_of_windows(self, database: Database, endpoints: Endpoints) -> None:
        """INV-12: two statements that block each other midway both finish."""
        names = [f"{number:02}" for number in range(21)]
        write_window(database, [result(name, confidence=0.75) for name in names])
        with ThreadPoolExecutor(2) as pool, psycopg.connect(endpoints.database_url) as blocker:
            blocker.execute("SELECT FROM tickets WHERE external_id = '10' FOR UPDATE")
            futures: list[Future[Any]] = [
                pool.submit(reband_all, database),
                pool.submit(write_window, database, [result(name, text="B", revised_at=NOW) for name in names]),
            ]
            with psycopg.connect(endpoints.database_url, autocommit=True) as observer:
                count = b"SELECT count(*) FROM pg_locks WHERE NOT granted"
                until(lambda: observer.execute(count).fetchone() == (2,))
            blocker.rollback()
            assert [future.exception(timeout=30) for future in futures] == [None, None]
