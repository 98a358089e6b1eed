"""The window's statement on a real Postgres. Each test is named after the sequence that it closes: PIPE 12 to 17."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from itertools import count
from threading import Barrier
from typing import Any, Final

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row
from sqlalchemy import Connection, event, text

from cli.stack import Endpoints
from contracts.prediction import Band, Prediction
from contracts.ticket import Lane
from db import Database
from db.known import known
from db.queries import Filters, Result, results, show
from db.window import Classified, Written, fold, write
from tests.support.builders import NOW, YESTERDAY, ticket
from tests.support.waiting import until

TABLES: Final = ("tickets", "predictions", "alerts", "reviews")
NOTHING: Final = Written(predictions=0, alerts=0)
BOTH_WAYS: Final = pytest.mark.parametrize("turn", [1, -1], ids=["in order", "in reverse"])


def digest(words: str) -> bytes:
    """What stands for a text."""
    return sha256(words.encode()).digest()


def result(
    words: str = "A",
    *,
    minute: int = 0,
    epoch: int = 1,
    model: str = "v1.0.0",
    label: str = "venda",
    confidence: float = 0.9,
    band: Band = Band.AUTOMATE,
    lane: Lane = Lane.LIVE,
    **fields: Any,
) -> Classified:
    """What the pipe has to store of a text that the CRM wrote at that minute."""
    said = Prediction(
        label, confidence, {label: confidence, "other": 1 - confidence}, band, model, 3, truncated=False
    )
    written = ticket(text=words, revised_at=YESTERDAY + timedelta(minutes=minute), **fields)
    return Classified(written, digest(words), said, epoch, lane, received_at=NOW, classified_at=NOW)


def doubtful(words: str = "A", **changes: Any) -> Classified:
    """A result that somebody should look at."""
    return result(words, **{"band": Band.REVIEW, "confidence": 0.6, **changes})


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    """All that a table holds, in the order of its key."""
    with database.autocommit() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2, 3")).mappings()]


def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All that all tables hold."""
    return {table: rows(database, table) for table in TABLES}


def current(database: Database) -> tuple[str, str, int]:
    """The text, the model version and the epoch that the only ticket's current result comes from."""
    (row,) = rows(database, "tickets")
    assert row["digest"] == digest(row["text"])
    return row["text"], row["model_version"], row["epoch"]


def history(database: Database) -> set[tuple[str, str]]:
    """Which texts (A, B or C) were judged by which versions."""
    words = {digest(one): one for one in "ABC"}
    return {(words[row["digest"]], row["model_version"]) for row in rows(database, "predictions")}


def judge(database: Database, words: str, label: str, reviewer: str = "ana") -> None:
    """A person gives a verdict on a text of the only ticket."""
    with database.autocommit() as connection:
        connection.execute(
            text(
                "INSERT INTO reviews (ticket_id, digest, label, reviewer)"
                " SELECT id, :digest, :label, :reviewer FROM tickets"
            ),
            {"digest": digest(words), "label": label, "reviewer": reviewer},
        )


def effective(database: Database) -> Result:
    """The only ticket, as people see it."""
    (row,) = results(database, Filters(), limit=2).rows
    return row


class TestOneRowPerIdentity:
    """PIPE 12: ON CONFLICT cannot touch a row twice in one statement."""

    def test_a_window_with_three_revisions_of_one_ticket_is_stored_as_the_newest(self, database: Database) -> None:
        window = [result("A", minute=1), result("C", minute=3), result("B", minute=2)]

        assert write(database, window) == Written(predictions=1, alerts=0)

        assert current(database) == ("C", "v1.0.0", 1)
        assert history(database) == {("C", "v1.0.0")}

    def test_a_ticket_is_stored_as_it_is(self, database: Database) -> None:
        given_in = doubtful(
            "Olá\n\n“não funciona” 🙁 \\ ' % :x", metadata={"vip": True, "tags": ["a", None, 1.5, {"ü": ""}]}
        )

        assert write(database, [given_in]) == Written(predictions=1, alerts=1)

        (row,) = rows(database, "tickets")
        (said,) = rows(database, "predictions")
        assert (row["text"], row["metadata"]) == (given_in.ticket.text, given_in.ticket.metadata)
        assert (row["revised_at"], row["received_at"], row["classified_at"]) == (YESTERDAY, NOW, NOW)
        assert said == {name: row[name] for name in said if name != "ticket_id"} | {"ticket_id": row["id"]}
        assert (said["probabilities"], said["band"]) == ({"venda": 0.6, "other": 0.4}, "review")

    def test_an_empty_window_asks_nothing_of_the_database(self) -> None:
        with Database("postgresql://nobody@127.0.0.1:1/nowhere") as unreachable:
            assert write(unreachable, []) == NOTHING


class TestRedelivery:
    """PIPE 14: what comes again, for whatever reason, changes nothing."""

    def test_a_redelivered_window_changes_no_row(self, database: Database) -> None:
        window = [doubtful(external_id=str(n), lane=lane) for n, lane in enumerate([Lane.LIVE, Lane.BULK] * 10)]
        assert write(database, window) == Written(predictions=20, alerts=10)
        before = everything(database)

        again = [replace(row, classified_at=NOW + timedelta(hours=1)) for row in window]
        assert write(database, again) == NOTHING

        assert everything(database) == before

    def test_a_redelivery_in_other_windows_changes_no_row(self, database: Database) -> None:
        window = [doubtful(external_id=str(n)) for n in range(6)]
        write(database, window)
        before = everything(database)

        assert [write(database, window[start : start + 4][::-1]) for start in (3, 1, 0)] == [NOTHING] * 3

        assert everything(database) == before

    def test_received_at_is_the_first_receipt_whatever_comes_later(self, database: Database) -> None:
        write(database, [result("A", minute=1)])
        later = replace(result("B", minute=2), received_at=NOW + timedelta(hours=1))

        write(database, [later])

        assert current(database)[0] == "B"
        assert effective(database).received_at == NOW

    @BOTH_WAYS
    def test_received_at_is_the_first_receipt_within_a_window_too(self, database: Database, turn: int) -> None:
        window = [result("A", minute=1), replace(result("B", minute=2), received_at=NOW + timedelta(hours=1))]

        write(database, window[::turn])

        assert current(database)[0] == "B"
        assert effective(database).received_at == NOW


class TestForwardOnly:
    """PIPE 14 and 15: the current result moves forward by (revision, digest, epoch); the history keeps all."""

    def test_an_older_revision_that_comes_after_a_newer_one_is_only_history(self, database: Database) -> None:
        write(database, [result("B", minute=2)])
        (before,) = rows(database, "tickets")

        assert write(database, [doubtful("A", minute=1, metadata={"old": True})]) == Written(1, 0)

        assert rows(database, "tickets") == [before]
        assert history(database) == {("A", "v1.0.0"), ("B", "v1.0.0")}

    @BOTH_WAYS
    def test_of_two_texts_with_one_revision_time_the_higher_digest_wins_in_any_order(
        self, database: Database, turn: int
    ) -> None:
        lower, higher = sorted("AB", key=digest)

        for words in (lower, higher)[::turn]:
            write(database, [result(words)])

        assert current(database)[0] == higher

    def test_a_late_worker_with_the_former_epoch_changes_nothing_current(self, database: Database) -> None:
        write(database, [result("A", model="v1.1.0", epoch=2)])
        (before,) = rows(database, "tickets")

        assert write(database, [doubtful("A", model="v1.0.0", epoch=1)]) == Written(1, 0)

        assert rows(database, "tickets") == [before]
        assert history(database) == {("A", "v1.0.0"), ("A", "v1.1.0")}

    def test_a_late_worker_with_the_former_epoch_still_brings_a_newer_text(self, database: Database) -> None:
        write(database, [result("A", minute=1, model="v1.1.0", epoch=2)])

        write(database, [result("B", minute=2, model="v1.0.0", epoch=1)])

        assert current(database) == ("B", "v1.0.0", 1)

    def test_after_a_rollback_the_older_version_wins_by_its_higher_epoch(self, database: Database) -> None:
        write(database, [result("A", model="v1.0.0", epoch=1)])
        write(database, [result("A", model="v1.1.0", epoch=2)])

        assert write(database, [result("A", model="v1.0.0", epoch=3)]) == NOTHING  # the history has it already

        assert current(database) == ("A", "v1.0.0", 3)
        assert history(database) == {("A", "v1.0.0"), ("A", "v1.1.0")}

    def test_a_text_that_is_edited_and_edited_back_is_current_again(self, database: Database) -> None:
        for minute, words in enumerate("ABA"):
            write(database, [result(words, minute=minute)])

        (row,) = rows(database, "tickets")
        assert (row["text"], row["revised_at"]) == ("A", YESTERDAY + timedelta(minutes=2))
        assert history(database) == {("A", "v1.0.0"), ("B", "v1.0.0")}

    def test_a_known_text_becomes_current_with_its_stored_prediction(self, database: Database) -> None:
        first = doubtful("A", minute=0, confidence=0.6543210987654321, label="suporte")
        write(database, [first])
        write(database, [result("B", minute=1)])

        said, when = known(database, [("zendesk", "4711", digest("A"))], "v1.0.0")[0]
        assert (said, when) == (first.prediction, first.classified_at)
        assert write(database, [replace(result("A", minute=2), prediction=said, classified_at=when)]) == NOTHING

        row = effective(database)
        assert (row.label, row.confidence, row.classified_at) == ("suporte", 0.6543210987654321, NOW)
        assert [one["is_current"] for one in _shown(database).history if one["label"] == "suporte"] == [True]

    def test_known_is_of_this_ticket_this_text_and_this_version_alone(self, database: Database) -> None:
        write(database, [result("A", external_id="1"), result("B", external_id="2")])

        asked = [("zendesk", "1", digest("B")), ("zendesk", "2", digest("B")), ("hubspot", "1", digest("A"))]

        assert list(known(database, asked, "v1.0.0")) == [1]
        assert known(database, asked, "v1.1.0") == {}
        assert known(database, [], "v1.0.0") == {}

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.lists(
                st.builds(
                    result,
                    st.sampled_from("ABC"),
                    minute=st.integers(0, 2),
                    epoch=st.integers(1, 3),
                    band=st.sampled_from(Band),
                ),
                min_size=1,
                max_size=3,
            ),
            max_size=4,
        )
    )
    def test_however_results_come_the_highest_rank_is_current(
        self, database: Database, windows: list[list[Classified]]
    ) -> None:
        name = f"drawn {next(_drawn)}"
        windows = [
            [replace(row, ticket=row.ticket.model_copy(update={"external_id": name})) for row in window]
            for window in windows
        ]
        for window in windows:
            write(database, window)

        arrived = [row for window in windows for row in window]
        found = [row for row in rows(database, "tickets") if row["external_id"] == name]
        assert [(row["revised_at"], row["digest"], row["epoch"]) for row in found] == [
            row.rank for row in fold(arrived)
        ]


_drawn = count()


def _shown(database: Database) -> Any:
    return show(database, "zendesk", "4711")


class TestOneOrderOfLocks:
    """PIPE 12: two workers that take the same tickets in opposite orders would wait for each other for ever."""

    WINDOW: Final = [f"{number:02}" for number in range(21)]

    @pytest.fixture
    def filled(self, database: Database) -> Database:
        write(database, [result(external_id=name) for name in self.WINDOW])
        return database

    def test_overlapping_windows_in_opposite_orders_never_deadlock(self, filled: Database) -> None:
        together = Barrier(2)

        def work(turn: int) -> None:
            for minute in range(50):
                window = [result("B", minute=minute, external_id=name) for name in self.WINDOW[::turn]]
                together.wait(timeout=30)
                write(filled, window)

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(work, turn) for turn in (1, -1)]:
                done.result()

        assert {row["revised_at"] for row in rows(filled, "tickets")} == {YESTERDAY + timedelta(minutes=49)}

    def test_two_windows_that_are_held_up_in_their_middle_both_go_on(
        self, filled: Database, endpoints: Endpoints
    ) -> None:
        def work(turn: int) -> Written:
            return write(filled, [result("B", minute=1, external_id=name) for name in self.WINDOW[::turn]])

        assert self._meet(endpoints, work) == [None, None]

    def test_without_that_order_the_same_two_windows_deadlock(self, filled: Database, endpoints: Endpoints) -> None:
        def work(turn: int) -> None:
            with psycopg.connect(endpoints.database_url) as connection:
                for name in self.WINDOW[::turn]:
                    connection.execute("UPDATE tickets SET epoch = epoch WHERE external_id = %s", [name])

        assert {type(error) for error in self._meet(endpoints, work)} == {type(None), psycopg.errors.DeadlockDetected}

    def _meet(self, endpoints: Endpoints, work: Callable[[int], object]) -> list[BaseException | None]:
        """Run `work` forwards and backwards, hold both up until each waits for a lock, and say how they end."""
        with ThreadPoolExecutor(2) as pool, psycopg.connect(endpoints.database_url) as gate:
            gate.execute("SELECT FROM tickets WHERE external_id = %s FOR UPDATE", [self.WINDOW[10]])
            both = [pool.submit(work, turn) for turn in (1, -1)]
            with observing(endpoints) as observe:
                until(
                    lambda: observe("SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted") == [{"waiting": 2}]
                )
            gate.rollback()
            return [one.exception(timeout=30) for one in both]


@contextmanager
def observing(endpoints: Endpoints) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Queries from a session of its own."""
    with psycopg.connect(endpoints.database_url, autocommit=True, row_factory=dict_row) as connection:
        yield lambda query, *values: connection.execute(query, values).fetchall()


class TestAutocommit:
    """PIPE 13: a process that is stopped or killed between statement and COMMIT would hold its locks for ever."""

    def test_a_process_that_is_stopped_right_after_its_statement_has_committed_it(
        self, database: Database, endpoints: Endpoints
    ) -> None:
        write(database, [result()])
        seen = []
        with observing(endpoints) as observe:

            @event.listens_for(database.engine, "after_cursor_execute")
            def stopped_here(_connection: Connection, cursor: Any, *_: object) -> None:
                pid = cursor.connection.info.backend_pid
                seen.append(observe("SELECT state, xact_start FROM pg_stat_activity WHERE pid = %s", pid))
                seen.append(observe("SELECT epoch FROM tickets FOR UPDATE NOWAIT"))

            write(database, [result(epoch=2)])

        assert seen == [[{"state": "idle", "xact_start": None}], [{"epoch": 2}]]  # once: it is one statement

    def test_every_session_has_limits_for_statements_and_locks(self, database: Database) -> None:
        with database.autocommit() as connection:
            limits = [connection.execute(text(f"SHOW {name}_timeout")).scalar() for name in ("statement", "lock")]

        assert limits == ["30s", "10s"]


class TestAlerts:
    """The outbox: a live result that somebody should look at, once."""

    @pytest.mark.parametrize(
        ("lane", "band", "alerts"),
        [
            (Lane.LIVE, Band.REVIEW, 1),
            (Lane.LIVE, Band.ABSTAIN, 1),
            (Lane.LIVE, Band.AUTOMATE, 0),
            (Lane.BULK, Band.REVIEW, 0),
            (Lane.BULK, Band.ABSTAIN, 0),
        ],
    )
    def test_only_a_doubtful_live_result_writes_one(
        self, database: Database, lane: Lane, band: Band, alerts: int
    ) -> None:
        assert write(database, [result(lane=lane, band=band)]) == Written(predictions=1, alerts=alerts)

        assert [(row["band"], row["delivered_at"]) for row in rows(database, "alerts")] == [
            (band.value, None)
        ] * alerts

    def test_it_names_the_ticket_the_text_the_version_and_the_confidence(self, database: Database) -> None:
        write(database, [result(external_id="1"), doubtful("B", external_id="2", model="v1.1.0", confidence=0.55)])

        (alert,) = rows(database, "alerts")
        (about,) = [row for row in rows(database, "tickets") if row["external_id"] == "2"]
        expected = {"ticket_id": about["id"], "digest": digest("B"), "model_version": "v1.1.0", "confidence": 0.55}
        assert alert | expected == alert

    def test_an_older_text_that_comes_late_writes_none(self, database: Database) -> None:
        write(database, [result("B", minute=2)])

        assert write(database, [doubtful("A", minute=1)]) == Written(predictions=1, alerts=0)

    def test_a_late_worker_with_the_former_model_writes_none(self, database: Database) -> None:
        write(database, [result("A", model="v1.1.0", epoch=2)])

        assert write(database, [doubtful("A", model="v1.0.0", epoch=1)]) == Written(predictions=1, alerts=0)

    def test_a_text_that_is_edited_back_writes_no_second_one(self, database: Database) -> None:
        done = [write(database, [doubtful(words, minute=minute)]) for minute, words in enumerate("ABA")]

        assert done == [Written(1, 1), Written(1, 1), NOTHING]

    def test_a_new_model_s_doubt_about_the_same_text_writes_its_own(self, database: Database) -> None:
        write(database, [doubtful(model="v1.0.0", epoch=1)])

        assert write(database, [doubtful(model="v1.1.0", epoch=2)]) == Written(predictions=1, alerts=1)


class TestAPersonsWord:
    """PIPE 16: the effective label is the latest review of this text, else the model's."""

    def test_it_stands_over_later_runs(self, database: Database) -> None:
        write(database, [result("A", label="venda", epoch=1)])
        judge(database, "A", "suporte")

        write(database, [result("A", label="venda", model="v1.1.0", epoch=2)])

        row = effective(database)
        assert (row.label, row.reviewer) == ("suporte", "ana")
        assert (row.model_label, row.model_version) == ("venda", "v1.1.0")

    def test_the_latest_one_stands(self, database: Database) -> None:
        write(database, [result("A")])

        for label, reviewer in (("suporte", "ana"), ("venda", "rui"), ("spam", "eva")):
            judge(database, "A", label, reviewer)

        assert (effective(database).label, effective(database).reviewer) == ("spam", "eva")

    def test_it_falls_away_when_the_text_changes_and_is_back_with_the_text(self, database: Database) -> None:
        write(database, [result("A", minute=0)])
        judge(database, "A", "suporte")
        seen = []

        for minute, words in enumerate("BA", start=1):
            write(database, [result(words, minute=minute)])
            seen.append((effective(database).label, effective(database).reviewer))

        assert seen == [("venda", None), ("suporte", "ana")]


class TestForgotten:
    """PIPE 17: a redelivery must not bring back what a customer asked us to delete."""

    @pytest.fixture
    def tombstone(self, database: Database) -> dict[str, Any]:
        write(database, [result("A")])
        with database.autocommit() as connection:
            connection.execute(text("UPDATE tickets SET forgotten_at = now(), text = NULL, metadata = '{}'"))
            connection.execute(text("DELETE FROM predictions"))
        (row,) = rows(database, "tickets")
        return row

    @pytest.mark.parametrize(
        "returning", [doubtful("A"), doubtful("B", minute=9), doubtful("A", epoch=9, model="v1.1.0")],
        ids=["redelivery", "newer text", "newer model"],
    )  # fmt: skip
    def test_it_is_not_brought_back(
        self, database: Database, tombstone: dict[str, Any], returning: Classified
    ) -> None:
        assert write(database, [returning]) == NOTHING

        assert rows(database, "tickets") == [tombstone]
        assert tombstone["text"] is None
        assert rows(database, "predictions") == rows(database, "alerts") == []

    def test_its_neighbours_in_the_window_are_stored(self, database: Database, tombstone: dict[str, Any]) -> None:
        window: Sequence[Classified] = [doubtful("B", minute=9), doubtful(external_id="4712")]

        assert write(database, window) == Written(predictions=1, alerts=1)

        assert effective(database).external_id == "4712"
