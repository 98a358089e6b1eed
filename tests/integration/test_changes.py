"""The change feed: each change of a current result appears, and always after every cursor served before."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from bench.store import fill_database
from tests.support.changes import all_changes, end_of_feed, names
from tests.support.results import result
from tests.support.runs import scalar
from triagem.contracts.errors import InvalidInput, NotMigrated
from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Identity
from triagem.contracts.wire import StoredTicketRef
from triagem.db import Database, runs
from triagem.db.retention import purge_texts
from triagem.db.reviews import record_review, undo_review
from triagem.db.runs import APPLY, RunPlan
from triagem.db.runs.pages import RunPage, apply_page, record_page
from triagem.db.runs.reband import reband
from triagem.db.runs.reclassification import ReclassifiedTicket, write_reclassified
from triagem.db.tickets import changes
from triagem.db.tickets.changes import list_changes
from triagem.db.tickets.forgetting import write_tombstone
from triagem.db.tickets.window import write_window
from triagem.db.upgrade import upgrade
from triagem.stack import Endpoints

TICKET = Identity("zendesk", "1")
INSERT = """
INSERT INTO tickets (source, external_id, digest, revised_at, arrival, revision, received_at, state, epoch, label,
  confidence, probabilities, band, model_version, tokens, truncated, classified_at)
VALUES ('zendesk', %s, '', now(), 1, 1, now(), 'classified', 1, 'venda', 0.9, '{}', 'automate', 'v1.0.0', 1, false,
  now())
"""


class TestOrder:
    def test_a_transaction_that_commits_after_a_later_one_leaves_no_gap(
        self, database: Database, endpoints: Endpoints
    ) -> None:
        """Without the bound, a consumer would read `later` and then never `earlier`."""
        with psycopg.connect(endpoints.database_url) as slow:
            slow.execute(INSERT, ["earlier"])
            with psycopg.connect(endpoints.database_url) as quick:
                quick.execute(INSERT, ["later"])
            first = list_changes(database, limit=10)
            slow.commit()

        assert first.rows == []
        assert names(all_changes(database, first.after)) == ["earlier", "later"]

    def test_the_newest_stamp_is_read_from_an_index(self, database: Database) -> None:
        fill_database(database, 4000)
        plan = "\n".join(database.scalars(f"EXPLAIN {changes._SERVER.text}"))

        assert "Index Only Scan Backward using ix_tickets_changed" in plan
        assert "Sort" not in plan

    def test_a_change_waits_only_for_earlier_transactions(self, database: Database, endpoints: Endpoints) -> None:
        write_window(database, [result("before")])
        with psycopg.connect(endpoints.database_url) as open_transaction:
            open_transaction.execute(INSERT, ["uncommitted"])

            assert names(list_changes(database, limit=10).rows) == ["before"]

    def test_a_ticket_that_changed_twice_appears_once_with_its_newest_result(self, database: Database) -> None:
        write_window(database, [result("1")])
        write_window(database, [result("2")])
        write_window(database, [result("1", label="suporte", epoch=2)])

        changed = all_changes(database)

        assert [(change.external_id, change.result and change.result.label) for change in changed] == [
            ("2", "venda"),
            ("1", "suporte"),
        ]

    def test_pages_continue_within_a_transaction(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(changes, "_PAGE", 2)
        write_window(database, [result(str(number)) for number in range(5)])
        write_window(database, [result("last")])

        changed = all_changes(database)

        assert sorted(names(changed)) == ["0", "1", "2", "3", "4", "last"]
        assert [names(all_changes(database, change.cursor)) for change in changed] == [
            names(changed)[number + 1 :] for number in range(6)
        ]


def edit(database: Database) -> None:
    write_window(database, [result("1", text="B", revised_at="2026-11-22T11:00:00Z")])


def newer_model(database: Database) -> None:
    write_window(database, [result("1", model="v1.1.0", epoch=2)])


def reclassify(database: Database) -> None:
    row = result("1", model="v1.1.0", label="suporte")
    run = runs.start(database, RunPlan("v1.1.0", epoch=2))
    ref = StoredTicketRef(run.id, scalar(database, "SELECT id FROM tickets"), b"A")
    record_page(database, run, RunPage([ref], run.cursor))
    write_reclassified(database, [ReclassifiedTicket(ref, "done", row.prediction, row.classified_at)])


def apply(database: Database) -> None:
    assert apply_page(database, runs.start(database, RunPlan("v0.9.0", 1, APPLY)))


def change_bands(database: Database) -> None:
    list(reband(database, {"v1.0.0": 0.95}))


def review(database: Database) -> None:
    assert isinstance(record_review(database, TICKET, "suporte", "ana"), int)


def unclear_review(database: Database) -> None:
    assert isinstance(record_review(database, TICKET, None, "ana"), int)


def forget(database: Database) -> None:
    assert write_tombstone(database, TICKET)


CHANGES: dict[str, tuple[Callable[[Database], None], dict[str, Any] | None]] = {
    "an edited text": (edit, {"label": "venda"}),
    "a result of a newer model": (newer_model, {"model_version": "v1.1.0"}),
    "a reclassification run": (reclassify, {"label": "suporte", "model_version": "v1.1.0"}),
    "an apply run": (apply, {"model_version": "v0.9.0"}),
    "recomputed bands": (change_bands, {"band": "review"}),
    "a review": (review, {"label": "suporte", "model_label": "venda", "reviewer": "ana"}),
    "an unclear review": (unclear_review, {"label": "venda", "reviewer": "ana", "unclear": True}),
    "forget": (forget, None),
}


class TestContent:
    @pytest.fixture
    def stored(self, database: Database) -> Database:
        """A ticket with a result of v1.0.0, and one of v0.9.0 in its history."""
        write_window(database, [result("1", model="v0.9.0", epoch=0)])
        write_window(database, [result("1")])
        return database

    @pytest.mark.parametrize("name", CHANGES)
    def test_every_change_of_a_current_result_appears(self, stored: Database, name: str) -> None:
        make_change, expected = CHANGES[name]
        before = end_of_feed(stored)

        make_change(stored)

        (change,) = all_changes(stored, before)
        assert (change.source, change.external_id) == TICKET
        assert change.forgotten is (expected is None)
        if expected is None:
            assert change.result is None
        else:
            assert {field: getattr(change.result, field) for field in expected} == expected

    def test_an_undone_review_appears(self, stored: Database) -> None:
        reviewed = record_review(stored, TICKET, "suporte", "ana")
        assert isinstance(reviewed, int)
        before = end_of_feed(stored)

        assert undo_review(stored, reviewed, "ana")

        (change,) = all_changes(stored, before)
        assert change.result
        assert (change.result.label, change.result.reviewer) == ("venda", None)

    def test_what_changes_no_current_result_does_not_appear(self, stored: Database) -> None:
        before = end_of_feed(stored)

        write_window(stored, [result("1")])  # a redelivery
        write_window(stored, [result("1", text="older", revised_at="2026-11-20T11:00:00Z")])
        write_window(stored, [result("1", model="v0.8.0", epoch=0)])
        list(purge_texts(stored, before=replace(result("1")).received_at.replace(year=2027)))
        list(reband(stored, {"v1.0.0": 0.8}))

        assert all_changes(stored, before) == []

    def test_texts_of_predict_do_not_appear(self, stored: Database) -> None:
        before = end_of_feed(stored)

        write_window(stored, [result("2", source="predict", band=Band.REVIEW)])

        assert all_changes(stored, before) == []


class TestCursor:
    @pytest.mark.parametrize("cursor", ["x", "", "WzEsMl0=", base64.b64encode(b"[1,-1,0]").decode()])
    def test_anything_else_is_refused(self, database: Database, cursor: str) -> None:
        with pytest.raises(InvalidInput, match="is not a cursor of the change feed"):
            list_changes(database, limit=1, after=cursor)

    @pytest.mark.parametrize(("part", "value"), [(0, 1), (1, 2**62)], ids=["another server", "a lost transaction"])
    def test_a_cursor_from_before_a_restore_is_refused(self, database: Database, part: int, value: int) -> None:
        position = json.loads(base64.b64decode(list_changes(database, limit=1).after))
        position[part] = value

        with pytest.raises(InvalidInput, match="from before the database was restored"):
            list_changes(database, limit=1, after=base64.b64encode(json.dumps(position).encode()).decode())

    def test_after_a_restore_from_a_dump_an_upgrade_stamps_the_tickets_again(self, database: Database) -> None:
        """The dump's transaction ids may be far above the ids of the server on which it is restored."""
        write_window(database, [result("1")])
        with database.autocommit() as connection:
            connection.execute(text("UPDATE tickets SET changed_xid = '9000000000'"))
        with pytest.raises(NotMigrated, match="triagem db upgrade"):
            list_changes(database, limit=1)

        upgrade(database)

        assert names(all_changes(database)) == ["1"]
