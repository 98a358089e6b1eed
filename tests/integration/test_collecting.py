"""Without a model, tickets are stored unlabelled. They are classified after the promotion of a first version."""

import threading
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Connection

from tests.support.builders import NOW, ticket
from tests.support.conversations import message
from tests.support.gateway import client, services
from tests.support.pipeline import dead_letter_rows, drained, publish, running, stored
from tests.support.results import record_refs, result
from tests.support.runs import scalar
from tests.support.waiting import until
from triagem.contracts.ticket import Identity, Lane, OnReply
from triagem.contracts.wire import StoredTicketRef, encode, encode_ref
from triagem.db import Database, runs, training_jobs
from triagem.db.model_versions import record_promotion, record_version
from triagem.db.reviews import record_review
from triagem.db.runs import RunPlan
from triagem.db.runs.pages import next_page
from triagem.db.runs.reclassification import ReclassifiedTicket, write_reclassified
from triagem.db.tickets.forgetting import write_tombstone
from triagem.db.tickets.messages import NewMessage, find_conversations, store_messages
from triagem.db.tickets.window import UnlabelledTicket, write_unlabelled, write_window
from triagem.db.training_jobs import JobKind
from triagem.inbox import Inbox
from triagem.inbox.lease import COLLECTING, worker_states
from triagem.inbox.stream import stream_key
from triagem.notify.monitor import MonitorSettings, check_system
from triagem.ops.reclassify import advance_run, start_due_run
from triagem.registry import Registry
from triagem.registry.no_model import LOST_STEP
from triagem.stack import Endpoints
from triagem.worker import prepare


@pytest.fixture
def no_models(tmp_path: Path) -> Path:
    """A registry without a version."""
    return tmp_path / "no-models"


def unlabelled(text: str = "A", *, minute: int = 0, arrival: int = 1) -> UnlabelledTicket:
    revised_at = NOW.replace(minute=minute)
    return UnlabelledTicket(
        ticket(external_id="1", text=text, revised_at=revised_at), text.encode(), Lane.LIVE, NOW, arrival
    )


def row(database: Database) -> tuple[object, ...]:
    """State, text and revision of the ticket."""
    with database.autocommit() as connection:
        return tuple(connection.exec_driver_sql("SELECT state, text, revision FROM tickets").one())


class TestWorker:
    def test_tickets_are_stored_without_a_result_and_leave_redis(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, no_models: Path
    ) -> None:
        with running(endpoints, no_models):
            publish(inbox, 5)
            publish(inbox, 3, lane=Lane.BULK)
            until(lambda: drained(inbox))
            until(lambda: set(worker_states(inbox.redis).values()) == {COLLECTING})

        assert scalar(database, "SELECT string_agg(DISTINCT state, ',') FROM tickets") == "unlabelled"
        assert scalar(database, "SELECT count(*) FROM predictions") == 0
        assert scalar(database, "SELECT count(*) FROM deliveries") == 0

    def test_a_worker_that_lost_the_registry_stores_tickets_and_says_so(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, no_models: Path
    ) -> None:
        record_version(database, "v1.0.0", manifest_digest=b"", created_at=NOW, labels=["suporte"])
        record_promotion(database, 1, "v1.0.0", NOW)
        with running(endpoints, no_models):
            publish(inbox, 5)
            until(lambda: drained(inbox))
            until(lambda: any(LOST_STEP in state for state in worker_states(inbox.redis).values()))

        assert stored(database) == 5

    def test_an_unreadable_entry_becomes_a_dead_letter_and_its_neighbours_are_stored(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, no_models: Path
    ) -> None:
        inbox.put(Lane.LIVE, [b"no ticket"])
        publish(inbox, 2)
        with running(endpoints, no_models):
            until(lambda: drained(inbox))

        assert stored(database) == 2
        assert [payload for payload, _ in dead_letter_rows(database)] == ["no ticket"]

    def test_entries_of_a_killed_worker_are_stored_by_the_next(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, no_models: Path
    ) -> None:
        publish(inbox, 4)
        assert len(inbox.fetch(Lane.LIVE, "killed", 4)) == 4

        with running(endpoints, no_models):
            until(lambda: stored(database) == 4)

    def test_a_whole_text_of_a_conversation_is_stored_as_its_message(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, no_models: Path
    ) -> None:
        with running(endpoints, no_models):
            inbox.put(Lane.LIVE, [encode(message("1", "Quero vinte licenças", minute=1))])
            until(lambda: drained(inbox))
            inbox.put(Lane.LIVE, [encode(message(None, "Quero um plano anual"))])
            until(lambda: drained(inbox))

        assert row(database) == ("unlabelled", "Quero um plano anual\n\nQuero vinte licenças", 2)
        assert scalar(database, "SELECT string_agg(message_id, ',' ORDER BY message_id) FROM messages") == ",1"

    def test_one_whose_ticket_becomes_a_conversation_meanwhile_is_fetched_again(
        self,
        endpoints: Endpoints,
        inbox: Inbox,
        database: Database,
        no_models: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        looked_up = threading.Event()

        def too_early(connection: Connection, tickets: Collection[Identity]) -> frozenset[Identity]:
            conversations = find_conversations(connection, tickets) if looked_up.is_set() else frozenset[Identity]()
            looked_up.set()
            return conversations

        store_messages(database, [NewMessage(message("1", "Quero vinte licenças", minute=1), 1, NOW, Lane.LIVE)])
        monkeypatch.setattr(prepare, "find_conversations", too_early)
        with running(endpoints, no_models):
            inbox.put(Lane.LIVE, [encode(message(None, "Quero um plano anual", minute=2))])
            until(lambda: drained(inbox))

        assert row(database)[1] == "Quero vinte licenças\n\nQuero um plano anual"

    def test_a_check_of_a_run_waits_for_the_model(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, no_models: Path
    ) -> None:
        check = {"t": encode_ref(StoredTicketRef(1, 1, b"digest"))}
        put = cast("bytes", inbox.redis.xadd(stream_key(Lane.BULK), check))  # type: ignore[arg-type]
        with running(endpoints, no_models):
            until(lambda: bool(inbox.redis.xrange(stream_key(Lane.BULK), min=f"({put.decode()}")))
            publish(inbox, 1)
            until(lambda: stored(database) == 1)

        assert inbox.redis.xlen(stream_key(Lane.BULK)) == 1
        assert scalar(database, "SELECT count(*) FROM dead_letters") == 0

    def test_after_the_first_promotion_they_are_classified_and_nobody_is_alerted(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, no_models: Path, instant_models: Path
    ) -> None:
        with running(endpoints, no_models) as (pipeline, _):
            publish(inbox, 5)
            until(lambda: stored(database) == 5)
            no_models.symlink_to(instant_models)
            until(pipeline.models.ready.is_set)
            registry = Registry(no_models)
            run = start_due_run(database, registry)
            assert run is not None

            def classified() -> bool:
                advance_run(database, inbox, registry, datetime.now(UTC))
                return bool(scalar(database, "SELECT count(*) = 5 FROM tickets WHERE state = 'classified'"))

            until(classified)

        assert scalar(database, "SELECT string_agg(DISTINCT language, ',') FROM tickets") == "pt"
        assert scalar(database, "SELECT count(*) FROM alerts WHERE kind <> 'run-ended'") == 0


class TestStorage:
    def test_a_newer_text_is_the_next_revision(self, database: Database) -> None:
        write_unlabelled(database, [unlabelled("A")])
        write_unlabelled(database, [unlabelled("B", minute=1)])

        assert row(database) == ("unlabelled", "B", 2)

    def test_a_redelivery_and_an_older_text_change_nothing(self, database: Database) -> None:
        write_unlabelled(database, [unlabelled("B", minute=1)])
        write_unlabelled(database, [unlabelled("B", minute=1), unlabelled("A")])
        write_unlabelled(database, [unlabelled("A")])

        assert row(database) == ("unlabelled", "B", 1)

    def test_a_newer_text_of_a_classified_ticket_waits_for_a_model(self, database: Database) -> None:
        write_window(database, [result("1", revised_at=NOW)])
        write_unlabelled(database, [unlabelled("B", minute=59)])

        assert row(database) == ("unlabelled", "B", 2)

    def test_the_same_text_keeps_its_result(self, database: Database) -> None:
        write_window(database, [result("1", revised_at=NOW)])
        write_unlabelled(database, [unlabelled("A", minute=59)])

        assert row(database) == ("classified", "A", 1)

    def test_a_forgotten_ticket_is_not_restored(self, database: Database) -> None:
        """INV-17."""
        write_tombstone(database, Identity("zendesk", "1"))
        write_unlabelled(database, [unlabelled()])

        assert row(database)[:2] == (None, None)

    def test_a_whole_text_of_a_conversation_is_refused(self, database: Database) -> None:
        store_messages(database, [NewMessage(message("2", "A", external_id="1"), 1, NOW, Lane.LIVE)])
        composed = replace(unlabelled("A", minute=1), on_reply=OnReply.CONVERSATION)
        whole = unlabelled("B", minute=59, arrival=9)

        assert write_unlabelled(database, [composed, whole]) == {Identity("zendesk", "1")}
        assert write_unlabelled(database, [whole]) == {Identity("zendesk", "1")}
        assert write_unlabelled(database, [composed]) == frozenset()

        assert row(database) == ("unlabelled", "A", 1)


class TestDueRun:
    def test_no_run_starts_without_a_version_or_without_a_ticket(
        self, database: Database, no_models: Path, instant_models: Path
    ) -> None:
        assert start_due_run(database, Registry(instant_models)) is None
        write_unlabelled(database, [unlabelled()])
        assert start_due_run(database, Registry(no_models)) is None

    def test_a_run_that_somebody_cancelled_is_not_started_again(
        self, database: Database, instant_models: Path
    ) -> None:
        write_unlabelled(database, [unlabelled()])
        registry = Registry(instant_models)
        run = start_due_run(database, registry)
        assert run is not None
        assert start_due_run(database, registry) is None
        runs.cancel(database, run.id)

        assert start_due_run(database, registry) is None

    def test_a_ticket_that_cannot_be_classified_starts_no_run_again(
        self, database: Database, instant_models: Path
    ) -> None:
        write_unlabelled(database, [unlabelled()])
        run = runs.start(database, RunPlan("v1.0.0", 1))
        (ref,) = record_refs(database, run)
        write_reclassified(database, [ReclassifiedTicket(ref, "failed")])

        assert row(database)[0] == "failed"
        assert start_due_run(database, Registry(instant_models)) is None

    def test_after_a_head_version_was_promoted_one_run_classifies_all_tickets_with_it(
        self, database: Database, instant_models: Path
    ) -> None:
        write_window(database, [result("1", model="v0.9.0", epoch=0)])
        registry = Registry(instant_models)
        assert start_due_run(database, registry) is None
        job, _ = training_jobs.request(database, JobKind.HEAD, requested_by="owner")
        training_jobs.claim(database, "trainer", lease_s=60)
        training_jobs.finish(database, job.id, "trainer", "v1.0.0")

        run = start_due_run(database, registry)

        assert run is not None
        assert len(next_page(database, run).refs) == 1
        runs.cancel(database, run.id)
        assert start_due_run(database, registry) is None


def test_a_review_of_an_unlabelled_text_is_kept(database: Database) -> None:
    write_unlabelled(database, [unlabelled()])
    record_review(database, Identity("zendesk", "1"), "venda", "ana", digest=b"A")
    write_window(database, [result("1", label="suporte", revised_at=NOW)])

    assert scalar(database, "SELECT label FROM results") == "venda"


def test_health_says_that_labels_are_collected_and_alerts_stay_quiet(
    endpoints: Endpoints, inbox: Inbox, database: Database, no_models: Path
) -> None:
    with running(endpoints, no_models):
        until(lambda: COLLECTING in worker_states(inbox.redis).values())
        answer = client(services(database, inbox, models=no_models)).get("/health")
        opened = [check_system(database, inbox, MonitorSettings(), datetime.now(UTC)) for _ in range(3)]

    assert (answer.status_code, answer.json()["status"]) == (200, "collecting labels")
    assert opened == [[], [], []]
