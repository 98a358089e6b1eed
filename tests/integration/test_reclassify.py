"""Reclassification runs over stored tickets, from the first page to the end: each ticket is classified once, and
newer results win."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from tests.integration.test_pipeline import CountingModel, copy_models
from tests.support.builders import NOW
from tests.support.conversations import ManualWorker, entries, message
from tests.support.engines import NoopModel, noop, slow_noop
from tests.support.pipeline import dead_letter_rows, drained, publish, running, stored
from tests.support.runs import advance_once, finish_run, scalar, store_tickets, text_of
from tests.support.waiting import blocked, until
from tests.support.windows import current, digest, effective_result, history, result
from triagem.contracts.errors import DatabaseUnavailable, InvalidInput
from triagem.contracts.prediction import AbstainReason, Band
from triagem.contracts.ticket import PREDICT_SOURCE, Identity, Lane
from triagem.contracts.wire import StoredTicketRef, encode_ref
from triagem.db import Database, runs
from triagem.db.connect import DatabaseSettings
from triagem.db.model_versions import record_promotion
from triagem.db.outbox.deliveries import sync_result_targets
from triagem.db.reviews import record_review
from triagem.db.runs import APPLY, RunPlan, pages, reclassification
from triagem.db.runs.diff import diff_run
from triagem.db.runs.pages import PAGE, RunPage, apply_page, next_page, record_page, recorded_refs, sweep_lock
from triagem.db.runs.reclassification import ReclassifiedTicket, resolve_tickets, write_reclassified
from triagem.db.tickets.forgetting import delete_related, write_tombstone
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox
from triagem.ops.reclassify import advance_run, start_nightly_run
from triagem.ops.settings import OpsSettings
from triagem.registry import Registry
from triagem.stack import Endpoints

CURRENT = RunPlan("v1.0.0", epoch=1)
SHADOW = RunPlan("v1.1.0", epoch=1, shadow=True)


def by_version(database: Database, table: str = "tickets") -> dict[str, int]:
    """The number of rows of each version."""
    with database.autocommit() as connection:
        rows = connection.execute(text(f"SELECT model_version, count(*) FROM {table} GROUP BY 1")).all()
    return {row[0]: row[1] for row in rows}


def test_each_stored_ticket_gets_one_row_of_the_new_version_and_nobody_is_alerted(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    store_tickets(database, 5000)
    runs.start(database, CURRENT)
    with running(endpoints, instant_models, review_threshold=0.95):
        run = finish_run(database, inbox, instant_models)
    assert (run.state, run.put, run.done, run.processed, run.flips) == ("done", 5000, 5000, 5000, 5000)
    assert by_version(database) == {"v1.0.0": 5000}
    assert by_version(database, "predictions") == {"v0.9.0": 5000, "v1.0.0": 5000}
    assert scalar(database, "SELECT count(*) FROM run_changes") == 5000
    assert scalar(database, "SELECT string_agg(kind || ' ' || key, ', ') FROM alerts") == f"run-ended run {run.id}"
    summary = f"run {run.id}, version v1.0.0: 5,000 tickets, 5,000 with another label than before"
    assert scalar(database, "SELECT detail->>'summary' FROM alerts") == summary


def test_only_changed_labels_are_sent_to_the_crm_and_only_on_request(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    sync_result_targets(database, {"zendesk.callback": "zendesk"})
    store_tickets(database, 4, model="v0.8.0")
    record_review(database, Identity("zendesk", "1"), "other", "ana")
    with database.autocommit() as connection:
        connection.execute(text("DELETE FROM deliveries"))
        # The label that the new version predicts.
        connection.execute(text("UPDATE tickets SET label = 'suporte' WHERE external_id = '2'"))
    with running(endpoints, instant_models):
        runs.start(database, replace(CURRENT, notify_flips=True))
        finish_run(database, inbox, instant_models)
        assert sent_tickets(database) == "0, 3"
        runs.start(database, replace(CURRENT, force=True))
        finish_run(database, inbox, instant_models)
    assert sent_tickets(database) == "0, 3"


def sent_tickets(database: Database) -> str:
    """The tickets whose results are sent to a CRM."""
    query = (
        "SELECT string_agg(external_id, ', ' ORDER BY external_id) FROM deliveries JOIN tickets t ON t.id = ticket_id"
    )
    return str(scalar(database, query))


def test_a_run_notifies_nobody_unless_requested(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    store_tickets(database, 3)
    sync_result_targets(database, {"zendesk.callback": "zendesk"})
    runs.start(database, CURRENT)
    with running(endpoints, instant_models):
        assert finish_run(database, inbox, instant_models).flips == 3
    assert scalar(database, "SELECT count(*) FROM deliveries") == 0


def test_a_sweep_puts_a_bounded_number_and_never_fills_the_lane_beyond_it(
    database: Database, inbox: Inbox, instant_models: Path
) -> None:
    store_tickets(database, 3 * PAGE)
    runs.start(database, CURRENT)
    for _ in range(3):
        assert advance_once(database, inbox, instant_models).put == 2 * PAGE
    assert inbox.depth(Lane.BULK).waiting == 2 * PAGE


def test_a_full_lane_ends_the_sweep_and_the_next_one_continues(
    database: Database, inbox: Inbox, instant_models: Path
) -> None:
    store_tickets(database, PAGE + 10)
    inbox.settings.bulk_high_water = 4 * PAGE
    publish(inbox, 3 * PAGE, lane=Lane.BULK)  # from another producer
    runs.start(database, CURRENT)
    run = advance_once(database, inbox, instant_models)
    assert inbox.depth(Lane.BULK).waiting == 4 * PAGE
    assert run.reason.startswith("the bulk lane is full (4000 entries, the high-water mark is 4000)")
    inbox.ack(inbox.fetch(Lane.BULK, "somebody", 7))
    advance_once(database, inbox, instant_models)
    assert inbox.depth(Lane.BULK).waiting == 4 * PAGE
    inbox.ack(inbox.fetch(Lane.BULK, "somebody", 3))
    run = advance_once(database, inbox, instant_models)
    assert (run.enqueued, run.reason) == (run.cursor, "")


def test_a_lane_smaller_than_a_page_is_filled_to_the_half(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    inbox.settings.bulk_high_water = 100
    store_tickets(database, 120)
    runs.start(database, CURRENT)
    for _ in range(2):
        advance_once(database, inbox, instant_models)
        assert inbox.depth(Lane.BULK).waiting == 50
    with running(endpoints, instant_models):
        assert finish_run(database, inbox, instant_models).done == 120


class TestOpsKilled:
    """INV-37: a page is recorded before its checks are enqueued."""

    def test_after_a_page_was_enqueued_but_not_saved_the_run_goes_on_to_its_end(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
    ) -> None:
        store_tickets(database, 2 * PAGE)
        run = runs.start(database, CURRENT)
        record_page(database, run, next_page(database, run))
        run = runs.find(database) or run
        inbox.put(Lane.BULK, [encode_ref(ref) for ref in recorded_refs(database, run)[0]])
        with running(endpoints, instant_models):
            until(lambda: drained(inbox))
            run = finish_run(database, inbox, instant_models)
            until(lambda: drained(inbox))
        assert (run.put, run.processed, run.done) == (2 * PAGE, 2 * PAGE, 2 * PAGE)
        assert by_version(database) == {"v1.0.0": 2 * PAGE}

    def test_after_a_page_was_recorded_its_checks_are_enqueued(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
    ) -> None:
        store_tickets(database, 10)
        run = runs.start(database, CURRENT)
        record_page(database, run, next_page(database, run))
        with running(endpoints, instant_models):
            run = finish_run(database, inbox, instant_models)
        assert (run.put, run.done) == (10, 10)

    def test_a_page_is_recorded_once(self, database: Database) -> None:
        store_tickets(database, PAGE + 1)
        run = runs.start(database, CURRENT)
        page = next_page(database, run)
        assert record_page(database, run, page)
        assert not record_page(database, run, page)
        assert scalar(database, "SELECT put FROM reclassify_runs") == PAGE
        assert scalar(database, "SELECT count(*) FROM run_changes") == PAGE

    def test_two_checks_of_one_ticket_are_counted_once(self, database: Database) -> None:
        write_window(database, [result("A", model="v0.9.0", epoch=0)])
        rows = reclassified(database, CURRENT)
        for outcome in ("failed", "failed", "done", "failed", "done"):
            write_reclassified(database, [replace(rows[0], outcome=outcome)])
        assert (run := runs.find(database))
        assert (run.put, run.done, run.failed, run.processed) == (1, 1, 0, 1)


class TestLostChecks:
    """INV-37: the run is not done, although no check is queued or in flight."""

    def test_they_are_enqueued_again(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
    ) -> None:
        store_tickets(database, 2 * PAGE + 5)
        runs.start(database, CURRENT)
        advance_once(database, inbox, instant_models)
        inbox.redis.flushall()
        inbox.create_groups()
        with running(endpoints, instant_models):
            run = finish_run(database, inbox, instant_models)
        assert (run.state, run.put, run.done) == ("done", 2 * PAGE + 5, 2 * PAGE + 5)

    def test_only_those_without_an_outcome(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
    ) -> None:
        store_tickets(database, 20)
        runs.start(database, CURRENT)
        advance_once(database, inbox, instant_models)
        inbox.ack(inbox.fetch(Lane.BULK, "somebody", 8))
        with running(endpoints, instant_models):
            until(lambda: drained(inbox))
        advance_once(database, inbox, instant_models)
        advance_once(database, inbox, instant_models)
        assert inbox.depth(Lane.BULK).waiting == 8

    def test_while_a_check_is_in_flight_none_is_enqueued_again(
        self, inbox: Inbox, database: Database, instant_models: Path
    ) -> None:
        store_tickets(database, 20)
        runs.start(database, CURRENT)
        advance_once(database, inbox, instant_models)
        inbox.ack(inbox.fetch(Lane.BULK, "somebody", 19))
        inbox.fetch(Lane.BULK, "somebody", 1)
        for _ in range(3):
            advance_once(database, inbox, instant_models)
        assert (inbox.depth(Lane.BULK).waiting, inbox.depth(Lane.BULK).in_flight) == (0, 1)

    def test_a_ticket_that_was_forgotten_meanwhile_does_not_keep_the_run_from_ending(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
    ) -> None:
        store_tickets(database, 3)
        runs.start(database, CURRENT)
        advance_once(database, inbox, instant_models)
        write_tombstone(database, Identity("zendesk", "1"))
        delete_related(database, Identity("zendesk", "1"))
        with running(endpoints, instant_models):
            run = finish_run(database, inbox, instant_models)
        assert (run.state, run.put, run.done) == ("done", 2, 2)


def test_a_query_for_stored_tickets_that_is_too_slow_is_split(
    endpoints: Endpoints, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INV-29"""
    slow = str(reclassification._RESOLVE).replace("SELECT i.position", "SELECT pg_sleep(0.6), i.position")
    monkeypatch.setattr(reclassification, "_RESOLVE", text(slow))
    store_tickets(database, 2)
    run = runs.start(database, CURRENT)
    with Database(endpoints.database_url, DatabaseSettings(statement_timeout_s=1)) as limited:
        resolved = resolve_tickets(limited, next_page(database, run).refs)
    assert [ticket and ticket.text for ticket in resolved] == [text_of("0"), text_of("1")]


def test_a_cancelled_run_cannot_be_resumed(database: Database) -> None:
    run = runs.start(database, CURRENT)
    runs.cancel(database, run.id)
    assert not runs.resume(database, run.id)
    assert runs.find_active(database) is None


def test_two_concurrent_sweeps_put_no_page_twice(database: Database, inbox: Inbox, instant_models: Path) -> None:
    store_tickets(database, 10)
    runs.start(database, CURRENT)
    with sweep_lock(database) as locked:
        assert locked
        assert advance_once(database, inbox, instant_models).put == 0
    assert advance_once(database, inbox, instant_models).put == 10


def test_tickets_stored_after_the_start_are_not_in_the_run(
    database: Database, inbox: Inbox, instant_models: Path
) -> None:
    store_tickets(database, 10)
    runs.start(database, CURRENT)
    store_tickets(database, 10, first=10)
    assert advance_once(database, inbox, instant_models).put == 10


def test_tickets_changed_or_forgotten_meanwhile_are_counted_and_left_alone(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    store_tickets(database, 4)
    runs.start(database, CURRENT)
    advance_once(database, inbox, instant_models)
    write_window(database, [result("outra coisa", external_id="1", minute=5, model="v0.9.0", epoch=0, label="other")])
    write_tombstone(database, Identity("zendesk", "2"))
    with running(endpoints, instant_models):
        run = finish_run(database, inbox, instant_models)
    assert (run.state, run.done, run.changed, run.gone, run.failed) == ("done", 2, 1, 1, 0)
    assert scalar(database, "SELECT model_version FROM tickets WHERE external_id = '1'") == "v0.9.0"
    assert scalar(database, "SELECT label FROM tickets WHERE external_id = '2'") is None


def test_a_result_of_a_later_epoch_and_a_review_stay(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    store_tickets(database, 2)
    record_review(database, Identity("zendesk", "0"), "cobranca", "ana")
    write_window(database, [result("C", external_id="9", model="v2.0.0", epoch=7)])
    runs.start(database, CURRENT)
    with running(endpoints, instant_models):
        run = finish_run(database, inbox, instant_models)
    assert (run.done, run.flips) == (3, 2)
    assert diff_run(database, run.id, limit=10).flips == 2
    assert by_version(database) == {"v1.0.0": 2, "v2.0.0": 1}
    assert scalar(database, "SELECT label FROM results WHERE external_id = '0'") == "cobranca"


def test_stored_predictions_of_the_version_are_not_computed_again_without_force(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, tmp_path: Path
) -> None:
    store_tickets(database, 50)
    write_window(database, [result("A", external_id="known", epoch=0, model="v1.0.0", label="old")])
    write_window(database, [result("A", external_id="known", epoch=1, model="v2.0.0")])
    runs.start(database, RunPlan("v1.0.0", epoch=2))
    models = Registry(copy_models(instant_models, tmp_path))
    models.promote("v1.0.0")
    with running(endpoints, models.root, lambda folder: CountingModel(noop(folder).manifest)) as (pipeline, _):
        assert pipeline.models.ready.wait(90)
        CountingModel.texts_seen = 0
        run = finish_run(database, inbox, models.root)
        assert (CountingModel.texts_seen, run.done, run.unchanged) == (50, 50, 1)
        assert scalar(database, "SELECT label FROM tickets WHERE external_id = 'known'") == "old"
        assert run.put == 51
        runs.start(database, RunPlan("v1.0.0", epoch=2))
        assert finish_run(database, inbox, models.root).put == 0
        runs.start(database, RunPlan("v1.0.0", epoch=2, force=True))
        run = finish_run(database, inbox, models.root)
        assert (CountingModel.texts_seen, run.done) == (101, 51)
    assert scalar(database, "SELECT label FROM tickets WHERE external_id = 'known'") == "venda"


def test_a_new_cleaning_version_is_applied_to_the_texts_it_changes_only(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    # Stored with the digests of the unchanged texts, as if cleaning had changed nothing.
    texts = {"same": "um texto", "changed": "um texto\n\nEnviado do meu Galaxy"}
    write_window(database, [result(texts[name], external_id=name) for name in texts])
    plan = replace(CURRENT, force=True, filters={"cleaning": "changed"})
    assert len(next_page(database, runs.preview(database, plan)).refs) == 1
    runs.start(database, plan)
    with running(endpoints, instant_models):
        run = finish_run(database, inbox, instant_models)
    assert (run.put, run.done, run.unchanged) == (1, 1, 0)


def test_a_conversation_is_composed_again_instead_of_cleaning_its_composed_text(database: Database) -> None:
    conversation = [message("1", "Quero um orçamento do plano anual"), message("2", "Preciso de vinte licenças")]
    ManualWorker(database).process(entries(conversation))
    preview = runs.preview(database, replace(CURRENT, force=True, filters={"cleaning": "changed"}))
    assert next_page(database, preview).refs == []

    with database.autocommit() as connection:  # as stored by a release that cleaned one of the messages differently
        connection.execute(text("UPDATE tickets SET digest = sha256('other')"))
    assert len(next_page(database, preview).refs) == 1


def test_a_text_that_is_edited_back_while_the_runs_statement_waits_gets_the_runs_result(
    database: Database, endpoints: Endpoints
) -> None:
    write_window(database, [result("A", model="v0.9.0", epoch=0)])
    run = runs.start(database, CURRENT)
    page = next_page(database, run)
    assert record_page(database, run, page)
    write_window(database, [result("B", minute=1, model="v0.9.0", epoch=0)])
    row = result("A")
    with ThreadPoolExecutor(1) as pool, psycopg.connect(endpoints.database_url) as editor:
        editor.execute("UPDATE tickets SET text = 'A', digest = %s", [digest("A")])
        results = [ReclassifiedTicket(page.refs[0], "done", row.prediction, row.classified_at)]
        written = pool.submit(write_reclassified, database, results)
        until(lambda: blocked(editor) == 1)
        editor.commit()
        written.result()
    assert current(database) == ("A", "v1.0.0", 1)
    assert scalar(database, "SELECT outcome FROM run_changes") == "done"


def test_a_shadow_run_of_a_version_that_is_not_current_changes_no_result(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    store_tickets(database, 100)
    runs.start(database, SHADOW)
    with running(endpoints, instant_models) as (pipeline, _):
        publish(inbox, 20)
        run = finish_run(database, inbox, instant_models)
        assert pipeline.models.current.model.manifest.version == "v1.0.0"
        until(lambda: stored(database) == 120)
    assert (run.state, run.done, run.flips) == ("done", 100, 100)
    assert by_version(database) == {"v0.9.0": 100, "v1.0.0": 20}
    assert by_version(database, "predictions") == {"v0.9.0": 100, "v1.0.0": 20, "v1.1.0": 100}


def test_a_version_that_cannot_be_loaded_pauses_the_run_and_live_tickets_go_on(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    def load(folder: Path) -> NoopModel:
        if folder.name == "v1.1.0":
            raise ValueError("corrupt")
        return noop(folder)

    store_tickets(database, 5)
    runs.start(database, SHADOW)
    with running(endpoints, instant_models, load):
        advance_once(database, inbox, instant_models)
        publish(inbox, 10)
        until(lambda: drained(inbox))
        run = advance_once(database, inbox, instant_models)
    assert (run.state, run.reason, run.failed) == ("paused", "a worker cannot load v1.1.0", 5)
    assert {reason for _, reason in dead_letter_rows(database)} == {"a worker cannot load v1.1.0"}
    assert stored(database) == 15


def test_a_promotion_cancels_a_run_of_the_previous_version(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, tmp_path: Path
) -> None:
    models = Registry(copy_models(instant_models, tmp_path))
    store_tickets(database, 10)
    runs.start(database, CURRENT)
    assert advance_once(database, inbox, models.root).put == 10
    models.promote("v1.1.0")
    run = advance_once(database, inbox, models.root)
    assert (run.state, run.reason) == ("cancelled", "v1.1.0 was promoted (epoch 2)")
    assert runs.find_active(database) is None
    with running(endpoints, models.root):
        until(lambda: drained(inbox))
    assert by_version(database) == {"v0.9.0": 10}


class TestPromotionInTheNight:
    """INV-37: the nightly run starts again for the new version."""

    NIGHT = OpsSettings(reclassify_until="06:00")

    def test_while_the_run_is_under_way(
        self, endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, tmp_path: Path
    ) -> None:
        models = Registry(copy_models(instant_models, tmp_path))
        store_tickets(database, 10)
        first = start_nightly_run(database, models, self.NIGHT, datetime.now(UTC))
        assert first
        advance_once(database, inbox, models.root)
        models.promote("v1.1.0")
        run = advance_once(database, inbox, models.root)
        assert (run.id, run.version, run.pause_at, run.filters) == (
            first.id + 1, "v1.1.0", first.pause_at, first.filters,
        )  # fmt: skip
        with running(endpoints, models.root):
            assert finish_run(database, inbox, models.root).done == 10
        assert by_version(database) == {"v1.1.0": 10}

    def test_while_the_run_is_paused_until_the_next_night(
        self, inbox: Inbox, database: Database, instant_models: Path, tmp_path: Path
    ) -> None:
        models = Registry(copy_models(instant_models, tmp_path))
        store_tickets(database, 3 * PAGE)
        first = start_nightly_run(database, models, self.NIGHT, datetime.now(UTC))
        assert first
        assert first.pause_at
        advance_run(database, inbox, models, first.pause_at)
        models.promote("v1.1.0")
        start_nightly_run(database, models, self.NIGHT, first.pause_at)
        advance_run(database, inbox, models, first.pause_at)
        run = advance_once(database, inbox, models.root)
        assert (run.state, run.version, run.put) == ("running", "v1.1.0", 2 * PAGE)


def test_a_paused_run_puts_nothing_and_continues_from_its_cursor(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    store_tickets(database, 3 * PAGE)
    run = runs.start(database, CURRENT)
    advance_once(database, inbox, instant_models)
    assert runs.pause(database, run.id)
    with running(endpoints, instant_models):
        until(lambda: advance_once(database, inbox, instant_models).processed == 2 * PAGE)
        assert advance_once(database, inbox, instant_models).put == 2 * PAGE
        assert runs.resume(database, run.id)
        assert finish_run(database, inbox, instant_models).done == 3 * PAGE


def test_a_deleted_ticket_is_counted_once_however_often_its_entry_is_delivered(database: Database) -> None:
    run = runs.start(database, CURRENT)
    row = ReclassifiedTicket(StoredTicketRef(run.id, 4711, b"\0" * 32), "")
    record_page(database, run, RunPage([row.ref], run.cursor))

    for _ in range(2):
        write_reclassified(database, [row])

    assert (counted := runs.find(database))
    assert (counted.gone, counted.processed) == (1, 1)


def test_a_frozen_ops_host_loses_the_lock_on_advancing_runs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LOCK_S", 0.2)

    def is_free() -> bool:
        with sweep_lock(database) as locked:
            return locked

    def freeze() -> None:
        with sweep_lock(database) as locked:
            assert locked
            assert not is_free()
            until(is_free)

    with pytest.raises(DatabaseUnavailable):
        freeze()


def test_waiting_entries_of_a_cancelled_run_are_skipped(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    store_tickets(database, 10)
    run = runs.start(database, CURRENT)
    advance_once(database, inbox, instant_models)
    assert runs.cancel(database, run.id)
    with running(endpoints, instant_models):
        until(lambda: drained(inbox))
    assert by_version(database) == {"v0.9.0": 10}
    assert runs.start(database, CURRENT).id != run.id


def test_a_reference_of_a_cancelled_run_is_not_resolved(database: Database) -> None:
    store_tickets(database, 1)
    run = runs.start(database, CURRENT)
    refs = next_page(database, run).refs
    runs.cancel(database, run.id)
    assert resolve_tickets(database, refs) == [None]


def test_only_one_run_is_active(database: Database) -> None:
    runs.start(database, CURRENT)
    with pytest.raises(InvalidInput, match="a run is active"):
        runs.start(database, SHADOW)


def test_a_live_ticket_overtakes_a_run(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    store_tickets(database, 2 * PAGE)
    runs.start(database, CURRENT)
    advance_once(database, inbox, instant_models)
    with running(endpoints, instant_models, slow_noop):
        until(lambda: advance_once(database, inbox, instant_models).processed > 0)
        publish(inbox, 1)
        until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)
        assert advance_once(database, inbox, instant_models).processed < PAGE


def test_a_claim_check_that_the_model_fails_on_is_a_dead_letter_without_text_and_counted(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    from tests.support.engines import text_leaking

    store_tickets(database, 3)
    write_window(database, [result("please blurt", external_id="9", model="v0.9.0", epoch=0)])
    runs.start(database, CURRENT)
    with running(endpoints, instant_models, text_leaking):
        run = finish_run(database, inbox, instant_models)
    assert (run.state, run.done, run.failed) == ("done", 3, 1)
    ((payload, _),) = dead_letter_rows(database)
    assert "check-1" in payload
    assert "blurt" not in payload


def test_a_claim_check_of_an_unknown_run_or_ticket_is_dropped_without_a_dead_letter(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    run = runs.start(database, CURRENT)
    refs = [StoredTicketRef(run_id, 99, digest("A")) for run_id in (run.id, run.id + 1)]
    record_page(database, run, RunPage(refs[:1], run.cursor))
    inbox.put(Lane.BULK, [encode_ref(ref) for ref in refs])
    with running(endpoints, instant_models):
        until(lambda: drained(inbox))
    assert scalar(database, "SELECT gone FROM reclassify_runs") == 1
    assert dead_letter_rows(database) == []


def reclassified(database: Database, plan: RunPlan, content: str = "A") -> list[ReclassifiedTicket]:
    """A run's prediction for the only ticket, which had this text when it was enqueued."""
    run = runs.start(database, plan)
    ticket = int(scalar(database, "SELECT id FROM tickets"))
    prediction = result(content, model=plan.version, label="suporte").prediction
    ref = StoredTicketRef(run.id, ticket, digest(content))
    record_page(database, run, RunPage([ref], run.cursor))
    return [ReclassifiedTicket(ref, "done", prediction, NOW)]


def test_a_text_that_changes_while_the_model_computes_is_left_alone(database: Database) -> None:
    write_window(database, [result("A", model="v0.9.0", epoch=0)])
    rows = reclassified(database, CURRENT)
    write_window(database, [result("B", model="v0.9.0", epoch=0, minute=1)])
    write_reclassified(database, rows)
    assert current(database)[:2] == ("B", "v0.9.0")
    assert history(database) == {("A", "v0.9.0"), ("B", "v0.9.0")}
    assert scalar(database, "SELECT (changed, flips)::text FROM reclassify_runs") == "(1,0)"
    assert diff_run(database, 1, limit=10).tickets == 0


def test_a_run_of_a_registry_that_was_restored_is_refused(database: Database) -> None:
    """The run's results would change nothing, because the stored results have a later epoch."""
    record_promotion(database, 2, "v1.0.0", NOW)
    with pytest.raises(InvalidInput, match="epoch 1 is older than 2, the last one recorded: restore a newer copy"):
        runs.start(database, CURRENT)
    assert runs.start(database, SHADOW)


def test_a_run_stores_the_language_and_the_reason_of_a_result_without_a_decision(database: Database) -> None:
    write_window(database, [result("A", model="v0.9.0", epoch=0)])
    run = runs.start(database, CURRENT)
    page = next_page(database, run)
    record_page(database, run, page)
    (ref,) = page.refs
    undecided = result("A", band=Band.ABSTAIN, reason=AbstainReason.OTHER_LANGUAGE)

    write_reclassified(
        database, [ReclassifiedTicket(ref, "done", undecided.prediction, undecided.classified_at, "es")]
    )

    assert effective_result(database).abstain_reason == "other-language"
    assert effective_result(database).language == "es"
    (resolved,) = resolve_tickets(database, [ref])
    assert resolved is not None
    assert resolved.cached is not None
    assert resolved.cached[0] == undecided.prediction


def test_a_redelivery_after_an_apply_changes_nothing_even_with_force(database: Database) -> None:
    write_window(database, [result("A", model="v1.1.0", epoch=0)])
    write_window(database, [result("A", model="v1.0.0", epoch=1)])
    rows = reclassified(database, RunPlan("v1.0.0", 1, force=True))
    write_reclassified(database, rows)
    assert scalar(database, "SELECT label FROM tickets") == "suporte"
    runs.cancel(database, rows[0].ref.run)
    apply_page(database, runs.start(database, RunPlan("v1.1.0", 1, APPLY)))
    with database.autocommit() as connection:
        connection.execute(text("UPDATE reclassify_runs SET state = 'done' WHERE id = 1"))
    write_reclassified(database, rows)
    assert current(database)[1] == "v1.1.0"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"label": "venda"}, {"1"}),
        ({"band": "review"}, {"2"}),
        ({"source": "freshdesk"}, {"3"}),
        ({"model": "v0.8.0"}, {"4"}),
        ({"not_model": "v0.9.0"}, {"4"}),
        ({"until": NOW.isoformat()}, set()),
        ({"since": NOW.isoformat()}, {"1", "2", "3", "4"}),
        ({"unseen": True}, {"1", "2", "3", "4"}),
    ],
)
def test_a_run_selects_tickets_by_its_filters(
    database: Database, filters: dict[str, object], expected: set[str]
) -> None:
    defaults: dict[str, object] = {"label": "suporte", "model": "v0.9.0", "epoch": 0}
    rows: list[dict[str, object]] = [
        {"external_id": "1", "label": "venda"},
        {"external_id": "2", "band": Band.REVIEW},
        {"external_id": "3", "source": "freshdesk"},
        {"external_id": "4", "model": "v0.8.0"},
        {"external_id": "5", "model": "v1.0.0"},
        {"external_id": "6", "source": PREDICT_SOURCE},
    ]
    for row in rows:
        write_window(database, [result("A", **{**defaults, **row})])  # type: ignore[arg-type]
    run = runs.start(database, RunPlan("v1.0.0", epoch=1, filters=filters))
    names = {
        scalar(database, "SELECT external_id FROM tickets WHERE id = :id", id=ref.ticket)
        for ref in next_page(database, run).refs
    }
    assert names == expected
