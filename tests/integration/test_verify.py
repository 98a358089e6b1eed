"""`triagem db verify` finds each contradiction in the tables or the inbox, and reports nothing else."""

import json
from collections.abc import Callable

import pytest
from sqlalchemy import text

from tests.support.builders import NOW
from tests.support.command import Triagem
from tests.support.consumers import leased, put_and_fetch
from tests.support.results import FORGET
from tests.support.windows import all_rows, current, doubtful, result
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database, runs
from triagem.db.model_versions import record_promotion, record_version
from triagem.db.outbox.deliveries import sync_result_targets
from triagem.db.runs import RunPlan
from triagem.db.runs.pages import next_page, record_page
from triagem.db.runs.reclassification import ReclassifiedTicket, resolve_tickets, write_reclassified
from triagem.db.schema import TICKET_TABLES
from triagem.db.tickets.search import index_queued_tickets
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox
from triagem.inbox.reclaim import Reclaimer
from triagem.ops.forget import forget
from triagem.ops.verify import CHECKS, verify, verify_tables

# Per rule: a statement that contradicts it, and the row that the finding names.
DAMAGES = {
    "result-in-history": ("UPDATE tickets SET label = 'suporte' WHERE external_id = '1'", "zendesk 1"),
    "newest-result": ("UPDATE predictions SET epoch = 2", "zendesk 1"),
    "newest-revision": ("UPDATE tickets SET revision = 1 WHERE external_id = '1'", "zendesk 1"),
    "searchable": ("DELETE FROM search_queue", "zendesk 1"),
    "purged-text": ("UPDATE tickets SET text = NULL WHERE external_id = '2'", "zendesk 2"),
    "forgotten-ticket": (f"UPDATE tickets SET {FORGET} WHERE external_id = '2'", "zendesk 2"),
    "ticketless-prediction": (
        "UPDATE predictions SET ticket_id = 4711 WHERE ticket_id = 1",
        "prediction of the deleted ticket 4711",
    ),
    "alerted-result": ("UPDATE alerts SET model_version = 'v0.0.0'", "alert 1"),
    "finished-delivery": ("UPDATE deliveries SET state = 'delivered'", "delivery 1"),
    "delivered-revision": (
        "UPDATE deliveries SET state = 'delivered', finished_at = now(), delivered_revision = 1",
        "zendesk.callback zendesk 1",
    ),
    "known-label": ("DELETE FROM labels", "venda"),
    "known-version": ("DELETE FROM model_versions WHERE version = 'v1.0.0'", "v1.0.0"),
    "promoted-epoch": ("UPDATE model_promotions SET epoch = epoch - 2", "epoch 1"),
    "finished-run": (
        """INSERT INTO reclassify_runs (kind, state, version, epoch, shadow, force, filters, first_id, last_id,
          cursor, enqueued, put) VALUES ('classify', 'done', 'v1.0.0', 1, false, false, '{}', 1, 2, 2, 2, 2)""",
        "run 1",
    ),
    "run-counts": (
        """WITH run AS (
          INSERT INTO reclassify_runs (kind, state, version, epoch, shadow, force, filters, first_id, last_id, cursor,
            enqueued, put, done)
          VALUES ('classify', 'running', 'v1.0.0', 1, false, false, '{}', 1, 2, 2, 2, 2, 1) RETURNING id
        ) INSERT INTO run_changes (run_id, ticket_id, outcome) SELECT run.id, t.id, 'done' FROM run, tickets t""",
        "run 1",
    ),
}


@pytest.fixture
def stored(database: Database) -> Database:
    """Two tickets, one edited since it was indexed, with an alert and a delivery; and a forgotten one."""
    sync_result_targets(database, {"zendesk.callback": "zendesk"})
    write_window(database, [doubtful("A", external_id="1"), result("B", external_id="2")])
    index_queued_tickets(database)
    write_window(database, [result("C", minute=1, external_id="1")])
    write_window(database, [result("A", external_id="3")])
    for epoch, version in ((1, "v1.0.0"), (2, "v1.1.0")):
        record_version(database, version, manifest_digest=b"", created_at=NOW, labels=["venda"])
        record_promotion(database, epoch, version, NOW)
    return database


def findings(database: Database) -> dict[str, list[str]]:
    return {name: finding.examples for name, finding in verify_tables(database) if finding}


def execute(database: Database, statement: str) -> None:
    with database.autocommit() as connection:
        connection.execute(text(statement))


def test_nothing_is_found_in_consistent_tables(triagem: Triagem, stored: Database, inbox: Inbox) -> None:
    forget(stored, inbox, Identity("zendesk", "3"))
    before = all_rows(stored)

    answer = triagem("db", "verify")

    assert (answer.status, answer.out) == (0, f"nothing found ({len(CHECKS) + 1} checks)\n")
    assert all_rows(stored) == before


@pytest.mark.parametrize("check", DAMAGES)
def test_a_contradiction_is_found_and_its_row_is_named(stored: Database, check: str) -> None:
    damage, row = DAMAGES[check]
    execute(stored, damage)

    assert row in findings(stored)[check]


def test_every_check_is_tested() -> None:
    assert set(DAMAGES) == {name for name, *_ in CHECKS}


@pytest.mark.parametrize("table", [table.name for table in TICKET_TABLES])
def test_a_row_of_a_forgotten_ticket_is_found_in_every_table(table: str) -> None:
    (query,) = (query for name, _, query in CHECKS if name == "forgotten-ticket")

    assert f"FROM {table}\n" in query


def test_all_checks_see_one_snapshot(stored: Database) -> None:
    checks = verify_tables(stored)
    next(checks)
    execute(stored, "DELETE FROM search_queue")

    assert [finding for _, finding in checks if finding] == []
    assert "searchable" in findings(stored)


def test_the_command_lists_what_it_found_and_exits_with_3(triagem: Triagem, stored: Database) -> None:
    execute(stored, DAMAGES["newest-result"][0])

    shown, printed = triagem("db", "verify"), triagem("db", "verify", "--json")

    assert (shown.status, printed.status) == (3, 3)
    assert shown.out == (
        "newest-result: a ticket's result is older than another one of the same text:"
        " run `triagem reclassify start`\n"
        "  3: zendesk 1, zendesk 2, zendesk 3\n"
    )
    assert [finding["check"] for finding in json.loads(printed.out)["findings"]] == ["newest-result"]


def test_a_run_of_the_current_version_resolves_what_a_late_worker_left(database: Database) -> None:
    """After the later version has classified the text, a late worker stores an edit and the edit back."""
    write_window(database, [result("A", model="v1.1.0", epoch=2)])
    for minute, content in enumerate("BA", start=1):
        write_window(database, [result(content, minute=minute, model="v1.0.0", epoch=1)])
    assert "newest-result" in findings(database)
    run = runs.start(database, RunPlan("v1.1.0", epoch=2))
    page = next_page(database, run)
    record_page(database, run, page)

    for ref, ticket in zip(page.refs, resolve_tickets(database, page.refs), strict=True):
        assert ticket
        assert ticket.cached
        write_reclassified(database, [ReclassifiedTicket(ref, "unchanged", *ticket.cached)])

    assert "newest-result" not in findings(database)
    assert current(database) == ("A", "v1.1.0", 2)


class TestEntriesOfDeadWorkers:
    """A worker that died less than one lease ago is not a finding."""

    @pytest.fixture
    def sleep(self, inbox: Inbox) -> Callable[[float], None]:
        """Replaces the wait for a lease to expire: checks the duration and returns at once."""

        def sleep(seconds: float) -> None:
            assert seconds == inbox.settings.lease_s

        return sleep

    def abandoned(self, database: Database, inbox: Inbox, sleep: Callable[[float], None]) -> list[str]:
        (*_, (_, finding)) = verify(database, inbox, sleep=sleep)
        return finding.examples if finding else []

    def test_an_entry_that_nobody_reclaims_is_found(
        self, database: Database, inbox: Inbox, sleep: Callable[[float], None]
    ) -> None:
        (entry,) = put_and_fetch(inbox, "dead", 1)

        assert self.abandoned(database, inbox, sleep) == [f"live {entry.id.decode()}"]

    def test_an_entry_that_is_reclaimed_within_a_lease_is_not(self, database: Database, inbox: Inbox) -> None:
        put_and_fetch(inbox, "dead", 1)
        survivor = leased(inbox)

        def reclaim(_: float) -> None:
            assert Reclaimer(inbox).reclaim(Lane.LIVE, survivor.consumer, 10)

        assert self.abandoned(database, inbox, reclaim) == []

    def test_an_entry_of_a_worker_with_a_lease_is_not(
        self, database: Database, inbox: Inbox, sleep: Callable[[float], None]
    ) -> None:
        put_and_fetch(inbox, leased(inbox).consumer, 1)

        assert self.abandoned(database, inbox, sleep) == []
