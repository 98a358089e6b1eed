"""Whatever a worker had in hand while a ticket was forgotten, nothing of it comes back (INV-17)."""

import threading
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from tests.support.forgetting import WHOSE, WORDS, ours, said, waiting
from tests.support.letters import entry_of
from tests.support.pipeline import running
from tests.support.waiting import until
from tests.support.windows import NOTHING, rows
from triagem.cli.stack import Endpoints
from triagem.contracts.ticket import Lane
from triagem.db import Database, dead
from triagem.db.dead import bury
from triagem.db.window import write
from triagem.gateway.forget import Forgotten, forget
from triagem.inbox import Inbox


class TestComingBack:
    """What a worker has in hand, or a CRM hands in again, is not stored."""

    @pytest.fixture
    def forgotten(self, database: Database, inbox: Inbox) -> Forgotten:
        return forget(database, inbox, WHOSE)

    @pytest.mark.parametrize("stored_before", [True, False], ids=["stored before", "never stored"])
    def test_a_window_that_is_written_after_the_tombstone_writes_nothing(
        self, database: Database, inbox: Inbox, stored_before: bool
    ) -> None:
        if stored_before:
            write(database, [ours()])
        forget(database, inbox, WHOSE)
        before = said(database)

        assert write(database, [ours(), ours("newer", minute=9), ours(epoch=9, model="v1.1.0")]) == NOTHING

        assert said(database) == before
        assert WORDS not in before

    def test_a_window_that_is_being_written_leaves_nothing(
        self, database: Database, inbox: Inbox, endpoints: Endpoints
    ) -> None:
        """The window has the ticket's lock and will commit; forget waits for it, and then deletes what it wrote."""
        write(database, [ours()])
        with psycopg.connect(endpoints.database_url) as window:
            window.execute("UPDATE tickets SET text = 'newer'")
            window.execute(
                "INSERT INTO predictions SELECT ticket_id, 'newer', label, confidence, probabilities, band,"
                " model_version, tokens, truncated, classified_at FROM predictions"
            )
            done: list[Forgotten] = []
            other = threading.Thread(target=lambda: done.append(forget(database, inbox, WHOSE)))
            other.start()
            until(lambda: blocked(window) == 1)
            window.commit()
            other.join()

        assert done[0].rows["predictions"] == 2
        assert "newer" not in said(database)

    def test_a_worker_that_holds_the_entry_while_it_is_forgotten_stores_nothing(
        self, endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path
    ) -> None:
        inbox.put(Lane.LIVE, [entry_of("4711"), entry_of("neighbour")])
        with psycopg.connect(endpoints.database_url) as blocker:
            blocker.execute("LOCK TABLE tickets IN SHARE MODE")  # reading goes on, writing waits
            with running(endpoints, instant_models) as (pipeline, failed):
                until(lambda: blocked(blocker) == 1)  # the worker has classified, and holds both
                forgetting = threading.Thread(target=lambda: forget(database, inbox, WHOSE))
                forgetting.start()
                until(lambda: blocked(blocker) == 2)
                blocker.commit()
                forgetting.join()
                until(lambda: waiting(inbox) == [] and pipeline.taker.in_hand == 0)
                assert not failed.is_set()

        assert [row["text"] for row in rows(database, "tickets") if row["external_id"] == "4711"] == [None]
        assert [row["external_id"] for row in rows(database, "results")] == ["neighbour"]
        assert [row["external_id"] for row in rows(database, "history")] == ["neighbour"]

    def test_a_redelivery_leaves_the_inbox_and_nothing_else(
        self, forgotten: Forgotten, endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path
    ) -> None:
        before = said(database)
        inbox.put(Lane.LIVE, [entry_of("4711", "once more")])

        with running(endpoints, instant_models) as (_, failed):
            until(lambda: failed.is_set() or waiting(inbox) == [])

        assert not failed.is_set()
        assert said(database) == before

    @pytest.mark.parametrize("payload", [entry_of("4711"), entry_of("4711")[:-9]], ids=["a ticket", "cut short"])
    def test_what_dies_in_a_worker_s_hands_becomes_no_letter(
        self, forgotten: Forgotten, database: Database, payload: bytes
    ) -> None:
        bury(database, Lane.LIVE, b"1-0", payload, "the model raised")
        bury(database, Lane.LIVE, b"2-0", b"nobody's", "no JSON")

        assert [bytes(letter["payload"]) for letter in rows(database, "dead_letters")] == [b"nobody's"]

    def test_not_even_if_the_worker_dies_before_it_has_looked_again(
        self, forgotten: Forgotten, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dead, "_WITHDRAW", text("SELECT 1"))

        bury(database, Lane.LIVE, b"1-0", entry_of("4711"), "the model raised")

        assert rows(database, "dead_letters") == []

    def test_not_even_if_the_burial_began_before_the_tombstone_and_ended_after_the_search(
        self, database: Database, inbox: Inbox, endpoints: Endpoints
    ) -> None:
        with psycopg.connect(endpoints.database_url) as twin:
            twin.execute("INSERT INTO dead_letters (lane, entry_id, payload, reason) VALUES ('live', '1-0', '', '')")
            burial = threading.Thread(target=bury, args=(database, Lane.LIVE, b"1-0", entry_of("4711"), "it raised"))
            burial.start()
            until(lambda: blocked(twin) == 1)
            forget(database, inbox, WHOSE)
            twin.rollback()
            burial.join()

        assert rows(database, "dead_letters") == []


def blocked(by: psycopg.Connection) -> int:
    """How many sessions wait for a lock of this one."""
    with psycopg.connect(by.info.dsn, password=by.info.password) as other:
        (count,) = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [by.info.backend_pid]
        ).fetchone() or (0,)
    return int(count)
