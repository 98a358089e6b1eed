"""Stored results judged anew by other thresholds: which rows change, and what stays whatever they say."""

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from math import inf, nextafter
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.builders import NOW
from tests.support.results import insert_review, result, set_tombstone
from tests.support.runs import scalar
from tests.support.waiting import until
from tests.support.windows import all_rows, rows
from triagem.cli.stack import Endpoints
from triagem.contracts.prediction import Band, Thresholds
from triagem.db import Database
from triagem.db.reband import PAGE, RebandGroup, RebandPage, reband
from triagem.db.window import write_window
from triagem.worker.bands import decide_band, min_automated_confidence

FLOORS: Final = {"v1.0.0": 0.8}


def bands(database: Database, source: str = "zendesk") -> dict[str, str]:
    """The band of each ticket of a source, by its name."""
    return {row["external_id"]: row["band"] for row in rows(database, "tickets") if row["source"] == source}


def judged(database: Database, floors: dict[str, float] | None = None, **options: Any) -> list[RebandPage]:
    """All pages, to the end."""
    return list(reband(database, floors or FLOORS, **options))


def changed(pages: list[RebandPage]) -> int:
    """How many tickets changed their band."""
    return sum(number for page in pages for of, number in page.groups.items() if of.before != of.after)


SURE = st.floats(0.5, 1)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stored=st.lists(st.tuples(SURE, st.sampled_from(["automate", "review"])), min_size=1), review=SURE, cutoff=SURE
)
@example(stored=[(0.8, "review"), (nextafter(0.8, 0), "automate")], review=0.8, cutoff=0.0)
@example(stored=[(0.8, "review"), (nextafter(0.8, 0), "automate")], review=0.5, cutoff=0.8)
@example(stored=[(1.0, "automate")], review=0.5, cutoff=inf)
def test_a_stored_result_gets_the_band_that_the_judge_would_give_it(
    database: Database, stored: list[tuple[float, str]], review: float, cutoff: float
) -> None:
    thresholds, source = Thresholds(review=review), uuid4().hex
    write_window(
        database,
        [
            result(str(place), source=source, confidence=confidence, band=Band(band))
            for place, (confidence, band) in enumerate(stored)
        ],
    )
    judged(database, {"v1.0.0": min_automated_confidence(thresholds, cutoff)}, source=source)
    assert bands(database, source) == {
        str(place): decide_band(
            [1 - confidence, confidence], ("suporte", "venda"), thresholds, budget_cutoff=cutoff
        ).band
        for place, (confidence, _) in enumerate(stored)
    }


def test_the_current_result_changes_and_its_row_in_the_history_and_no_other(database: Database) -> None:
    write_window(database, [result("1", model="v0.9.0", epoch=0, confidence=0.75)])
    write_window(database, [result("1", confidence=0.75)])
    write_window(database, [result("1", confidence=0.75, text="B", revised_at=NOW)])
    judged(database, {"v0.9.0": 0.8, "v1.0.0": 0.8})
    assert bands(database) == {"1": "review"}
    assert {(bytes(row["digest"]), row["model_version"], row["band"]) for row in rows(database, "predictions")} == {
        (b"A", "v0.9.0", "automate"),
        (b"A", "v1.0.0", "automate"),
        (b"B", "v1.0.0", "review"),
    }
    assert scalar(database, "SELECT band FROM history WHERE is_current") == "review"
    assert scalar(database, "SELECT band FROM results") == "review"


def test_nothing_but_bands_is_written_and_nobody_is_told(database: Database) -> None:
    with database.autocommit() as connection:
        connection.exec_driver_sql("INSERT INTO result_targets (source, target) VALUES ('zendesk', 'zendesk')")
    write_window(database, [result(name, confidence=0.75) for name in "12"])
    insert_review(database, "1", "suporte")
    tables = ("deliveries", "search_queue", "run_changes")
    before, others = all_rows(database), {table: rows_of(database, table) for table in tables}
    judged(database)
    for table in ("tickets", "predictions"):
        for row in before[table]:
            row["band"] = "review"
    assert all_rows(database) == before
    assert {table: rows_of(database, table) for table in tables} == others
    assert scalar(database, "SELECT label FROM results WHERE external_id = '1'") == "suporte"


def rows_of(database: Database, table: str) -> int:
    """How many there are."""
    return int(scalar(database, f"SELECT count(*) FROM {table}"))


def test_what_was_forgotten_or_has_abstained_stays(database: Database) -> None:
    write_window(database, [result("gone"), result("odd", band=Band.ABSTAIN), result("plain")])
    set_tombstone(database, "gone")
    (page,) = judged(database, {"v1.0.0": 0.95})
    assert bands(database) == {"gone": "automate", "odd": "abstain", "plain": "review"}
    assert dict(page.groups) == {
        RebandGroup("v1.0.0", True, "venda", "abstain", "abstain"): 1,
        RebandGroup("v1.0.0", True, "venda", "automate", "review"): 1,
    }


def test_a_version_without_a_floor_is_left_alone_and_counted(database: Database) -> None:
    write_window(database, [result("1", model="v0.9.0", confidence=0.1), result("2", confidence=0.1)])
    (page,) = judged(database)
    assert bands(database) == {"1": "automate", "2": "review"}
    assert page.groups[RebandGroup("v0.9.0", False, "venda", "automate", "automate")] == 1


@pytest.mark.parametrize("which", [{"source": "zendesk"}, {"model": "v1.0.0"}, {"since": NOW}], ids=str)
def test_only_those_that_are_meant_change(database: Database, which: dict[str, Any]) -> None:
    late: dict[str, Any] = {"confidence": 0.1, "received_at": NOW}
    early = {**late, "received_at": NOW - timedelta(seconds=1), "source": "crm", "model": "v0.9.0"}
    write_window(database, [result("late", **late), result("early", **early)])
    judged(database, {"v0.9.0": 0.8, "v1.0.0": 0.8}, **which)
    assert bands(database) == {"late": "review"}
    assert bands(database, "crm") == {"early": "automate"}


def test_a_dry_run_says_what_would_change_and_changes_nothing(database: Database) -> None:
    write_window(database, [result("1", confidence=0.75), result("2")])
    before = all_rows(database)
    (page,) = judged(database, dry_run=True)
    assert all_rows(database) == before
    assert dict(page.groups) == {
        RebandGroup("v1.0.0", True, "venda", "automate", "review"): 1,
        RebandGroup("v1.0.0", True, "venda", "automate", "automate"): 1,
    }


def test_who_was_stopped_between_two_pages_begins_again_and_a_second_run_changes_nothing(database: Database) -> None:
    many = 2 * PAGE + 1
    write_window(database, [result(f"{number:04}", confidence=0.75) for number in range(many)])
    cut_off = next(iter(reband(database, FLOORS)))
    assert changed([cut_off]) == PAGE
    again = judged(database)
    assert [page.scanned for page in again] == [PAGE, PAGE, 1]
    assert changed(again) == many - PAGE
    assert set(bands(database).values()) == {"review"}
    assert changed(judged(database)) == 0


class TestBesideWorkers:
    """The statement waits for a lock; what it then finds is not what it had looked at."""

    @pytest.mark.parametrize(
        "meanwhile", ["model_version = 'v1.1.0'", "digest = 'B'", "confidence = 0.99", "forgotten_at = now()"]
    )
    def test_a_ticket_that_has_moved_on_meanwhile_is_left_alone(
        self, database: Database, endpoints: Endpoints, meanwhile: str
    ) -> None:
        write_window(database, [result("1", confidence=0.75), result("2", confidence=0.75)])
        with ThreadPoolExecutor(1) as pool, psycopg.connect(endpoints.database_url) as worker:
            worker.execute(f"UPDATE tickets SET {meanwhile} WHERE external_id = '1'".encode())
            waiting = pool.submit(judged, database, {"v1.0.0": 0.8, "v1.1.0": 0.8})
            until(lambda: worker.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None)
            worker.commit()
            pages = waiting.result(timeout=30)
        assert bands(database) == {"1": "automate", "2": "review"}
        assert changed(pages) == 1

    def test_locks_are_taken_in_the_order_of_windows(self, database: Database, endpoints: Endpoints) -> None:
        """INV-12: held up in the middle, both go on."""
        names = [f"{number:02}" for number in range(21)]
        write_window(database, [result(name, confidence=0.75) for name in names])
        with ThreadPoolExecutor(2) as pool, psycopg.connect(endpoints.database_url) as gate:
            gate.execute("SELECT FROM tickets WHERE external_id = '10' FOR UPDATE")
            both: list[Future[Any]] = [
                pool.submit(judged, database),
                pool.submit(write_window, database, [result(name, text="B", revised_at=NOW) for name in names]),
            ]
            with psycopg.connect(endpoints.database_url, autocommit=True) as observer:
                count = b"SELECT count(*) FROM pg_locks WHERE NOT granted"
                until(lambda: observer.execute(count).fetchone() == (2,))
            gate.rollback()
            assert [one.exception(timeout=30) for one in both] == [None, None]
