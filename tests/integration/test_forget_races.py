"""No data of a forgotten ticket is stored again, whatever a worker had in progress (INV-17)."""

import threading
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from tests.support.dead_letters import payload_of
from tests.support.forgetting import FORGOTTEN, FORGOTTEN_TEXT, all_content, forgotten_result, waiting_payloads
from tests.support.pipeline import running
from tests.support.waiting import blocked, until
from tests.support.windows import NO_CHANGES, rows
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.tickets import dead_letters
from triagem.db.tickets.dead_letters import insert_dead_letter
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox
from triagem.ops.forget import DeletedData, forget
from triagem.stack import Endpoints


class TestComingBack:
    """A ticket that a worker has in progress, or that a CRM submits again, is not stored."""

    @pytest.fixture
    def forgotten(self, database: Database, inbox: Inbox) -> DeletedData:
        return forget(database, inbox, FORGOTTEN)

    @pytest.mark.parametrize("stored_before", [True, False], ids=["stored before", "never stored"])
    def test_a_window_that_is_written_after_the_tombstone_writes_nothing(
        self, database: Database, inbox: Inbox, stored_before: bool
    ) -> None:
        if stored_before:
            write_window(database, [forgotten_result()])
        forget(database, inbox, FORGOTTEN)
        before = all_content(database)

        assert (
            write_window(
                database,
                [forgotten_result(), forgotten_result("newer", minute=9), forgotten_result(epoch=9, model="v1.1.0")],
            )
            == NO_CHANGES
        )

        assert all_content(database) == before
        assert FORGOTTEN_TEXT not in before

    def test_a_window_that_is_being_written_leaves_nothing_behind(
        self, database: Database, inbox: Inbox, endpoints: Endpoints
    ) -> None:
        """The window holds the ticket's lock and will commit. `forget` waits, then deletes the written rows."""
        write_window(database, [forgotten_result()])
        with psycopg.connect(endpoints.database_url) as window:
            window.execute("UPDATE tickets SET text = 'newer'")
            window.execute(
                "INSERT INTO predictions (ticket_id, digest, label, confidence, probabilities, band, model_version,"
                " tokens, truncated, classified_at, epoch) SELECT ticket_id, 'newer', label, confidence,"
                " probabilities, band, model_version, tokens, truncated, classified_at, epoch FROM predictions"
            )
            done: list[DeletedData] = []
            forgetting = threading.Thread(target=lambda: done.append(forget(database, inbox, FORGOTTEN)))
            forgetting.start()
            until(lambda: blocked(window) == 1)
            window.commit()
            forgetting.join()

        assert done[0].rows["predictions"] == 2
        assert "newer" not in all_content(database)

    def test_a_worker_that_holds_the_entry_while_it_is_forgotten_stores_nothing(
        self, endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path
    ) -> None:
        inbox.put(Lane.LIVE, [payload_of("4711"), payload_of("neighbour")])
        with psycopg.connect(endpoints.database_url) as blocker:
            blocker.execute("LOCK TABLE tickets IN SHARE MODE")  # reads continue, writes wait
            with running(endpoints, instant_models) as (pipeline, failed):
                until(lambda: blocked(blocker) == 1)  # the worker has classified both tickets and holds their entries
                forgetting = threading.Thread(target=lambda: forget(database, inbox, FORGOTTEN))
                forgetting.start()
                until(lambda: blocked(blocker) == 2)
                blocker.commit()
                forgetting.join()
                until(lambda: waiting_payloads(inbox) == [] and len(pipeline.in_flight) == 0)
                assert not failed.is_set()

        assert [row["text"] for row in rows(database, "tickets") if row["external_id"] == "4711"] == [None]
        assert [row["external_id"] for row in rows(database, "results")] == ["neighbour"]
        assert [row["external_id"] for row in rows(database, "analytics.history")] == ["neighbour"]

    def test_a_redelivery_leaves_the_inbox_and_changes_nothing(
        self, forgotten: DeletedData, endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path
    ) -> None:
        before = all_content(database)
        inbox.put(Lane.LIVE, [payload_of("4711", "once more")])

        with running(endpoints, instant_models) as (_, failed):
            until(lambda: failed.is_set() or waiting_payloads(inbox) == [])

        assert not failed.is_set()
        assert all_content(database) == before

    @pytest.mark.parametrize("payload", [payload_of("4711"), payload_of("4711")[:-9]], ids=["a ticket", "cut short"])
    def test_an_entry_of_a_forgotten_ticket_becomes_no_dead_letter(
        self, forgotten: DeletedData, database: Database, payload: bytes
    ) -> None:
        insert_dead_letter(database, Lane.LIVE, b"1-0", payload, "the model raised")
        insert_dead_letter(database, Lane.LIVE, b"2-0", b"nobody's", "no JSON")

        assert [bytes(letter["payload"]) for letter in rows(database, "dead_letters")] == [b"nobody's"]

    def test_not_even_if_the_worker_dies_before_its_second_check(
        self, forgotten: DeletedData, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dead_letters, "_DELETE_IF_FORGOTTEN", text("SELECT 1"))

        insert_dead_letter(database, Lane.LIVE, b"1-0", payload_of("4711"), "the model raised")

        assert rows(database, "dead_letters") == []

    def test_not_even_if_the_insert_began_before_the_tombstone_and_ended_after_the_search(
        self, database: Database, inbox: Inbox, endpoints: Endpoints
    ) -> None:
        with psycopg.connect(endpoints.database_url) as blocker:
            blocker.execute(
                "INSERT INTO dead_letters (lane, entry_id, payload, reason) VALUES ('live', '1-0', '', '')"
            )
            insert = threading.Thread(
                target=insert_dead_letter, args=(database, Lane.LIVE, b"1-0", payload_of("4711"), "it raised")
            )
            insert.start()
            until(lambda: blocked(blocker) == 1)
            forget(database, inbox, FORGOTTEN)
            blocker.rollback()
            insert.join()

        assert rows(database, "dead_letters") == []
