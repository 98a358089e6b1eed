"""Retention: old texts are purged; predictions, reviews and history stay."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from tests.support.builders import NOW, classified
from tests.support.command import Triagem, assert_one_line
from tests.support.dead_letters import insert_dead_letters
from tests.support.waiting import blocked, until
from tests.support.windows import all_rows, rows
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.audit import list_audit
from triagem.db.retention import delete_old_rows, delete_source_tickets, purge_texts
from triagem.db.tickets.window import WindowCounts, write_window
from triagem.stack import Endpoints

DAY = timedelta(days=1)
OLD = NOW - 100 * DAY
CUTOFF = NOW - 90 * DAY


def ticket(name: str, received_at: datetime, revised_at: datetime | None = None) -> Any:
    """A result for a ticket of this name; `revised_at` defaults to `received_at`."""
    return classified(
        external_id=name,
        received_at=received_at,
        revised_at=revised_at or received_at,
        metadata={"phone": "11 99999-0000"},
    )


def with_text(database: Database) -> list[str]:
    """The names of the tickets that still have a text."""
    return [row["external_id"] for row in rows(database, "tickets") if row["text"] is not None]


def purge(database: Database, before: datetime = CUTOFF, *, dry_run: bool = False) -> int:
    """Purges texts and returns their number."""
    return sum(purge_texts(database, before=before, dry_run=dry_run))


class TestTexts:
    def test_only_texts_received_and_revised_before_are_purged(self, database: Database) -> None:
        edge = timedelta(milliseconds=1)
        write_window(
            database,
            [
                ticket("old", OLD),
                ticket("just old", CUTOFF - edge),
                ticket("just young", CUTOFF),
                ticket("young", NOW),
                ticket("imported today", NOW, revised_at=OLD),
                ticket("revised today", OLD, revised_at=NOW),
            ],
        )

        assert purge(database) == 2

        assert sorted(with_text(database)) == ["imported today", "just young", "revised today", "young"]

    def test_everything_but_text_and_metadata_stays(self, database: Database) -> None:
        write_window(database, [ticket("1", OLD)])
        with database.autocommit() as connection:
            connection.execute(
                text(
                    "INSERT INTO reviews (ticket_id, digest, label, reviewer)"
                    " SELECT id, digest, label, 'ana' FROM tickets"
                )
            )
        before = all_rows(database)
        views = [rows(database, view) for view in ("results", "analytics.history", "analytics.daily")]

        purge(database)

        before["tickets"][0] |= {"text": None, "metadata": {}}
        assert all_rows(database) == before
        assert [rows(database, view) for view in ("results", "analytics.history", "analytics.daily")] == views

    def test_a_second_purge_purges_nothing(self, database: Database) -> None:
        write_window(database, [ticket("1", OLD)])

        assert [purge(database), purge(database)] == [1, 0]

    def test_a_ticket_that_is_revised_later_keeps_its_new_text(self, database: Database) -> None:
        write_window(database, [ticket("1", OLD)])
        purge(database)

        write_window(database, [classified(external_id="1", digest=b"b", text="newer", revised_at=NOW)])

        assert purge(database) == 0
        (row,) = rows(database, "tickets")
        assert (row["text"], row["received_at"]) == ("newer", OLD)

    def test_a_late_redelivery_of_a_purged_text_does_not_restore_it(self, database: Database) -> None:
        write_window(database, [ticket("1", OLD)])
        purge(database)

        assert write_window(database, [ticket("1", OLD)]) == WindowCounts(0, 0)

        assert with_text(database) == []

    def test_pages_have_a_thousand_rows_and_cover_all(self, database: Database) -> None:
        write_window(database, [ticket(str(number), OLD) for number in range(1500)])
        write_window(database, [ticket(str(number), OLD + DAY) for number in range(1500, 2500)])

        assert list(purge_texts(database, before=CUTOFF)) == [1000, 1000, 500]

        assert with_text(database) == []

    def test_an_interrupted_purge_keeps_its_finished_pages(self, database: Database) -> None:
        write_window(database, [ticket(str(number), OLD) for number in range(1500)])

        next(purge_texts(database, before=CUTOFF))

        assert len(with_text(database)) == 500

    def test_it_locks_tickets_in_the_order_of_the_window_s_statement(
        self, database: Database, endpoints: Endpoints
    ) -> None:
        """`a` arrived last. A purge that locks rows by time or id would hold `b`'s lock while it waits for `a`."""
        write_window(database, [ticket("b", OLD)])
        write_window(database, [ticket("a", OLD + DAY)])
        with psycopg.connect(endpoints.database_url) as window:
            window.execute("SELECT FROM tickets WHERE external_id = 'a' FOR UPDATE")
            purging = threading.Thread(target=purge, args=(database,))
            purging.start()
            until(lambda: blocked(window) == 1)
            window.execute("SELECT FROM tickets WHERE external_id = 'b' FOR UPDATE NOWAIT")
            window.execute(
                "UPDATE tickets SET revised_at = now(), text = 'revised meanwhile' WHERE external_id = 'a'"
            )
            window.commit()
            purging.join()

        assert [(row["external_id"], row["text"]) for row in rows(database, "tickets")] == [
            ("b", None),
            ("a", "revised meanwhile"),
        ]


class TestDeletedTickets:
    def test_a_prediction_that_is_being_written_is_deleted_with_its_ticket(
        self, database: Database, endpoints: Endpoints
    ) -> None:
        """The window holds the ticket's lock and will commit. The deletion waits for it."""
        write_window(database, [ticket("1", OLD)])
        with psycopg.connect(endpoints.database_url) as window:
            window.execute("UPDATE tickets SET text = 'newer'")
            window.execute(
                "INSERT INTO predictions (ticket_id, digest, label, confidence, probabilities, band, model_version,"
                " tokens, truncated, classified_at, epoch) SELECT ticket_id, 'newer', label, confidence,"
                " probabilities, band, model_version, tokens, truncated, classified_at, epoch FROM predictions"
            )
            deleting = threading.Thread(target=lambda: [*delete_source_tickets(database, "zendesk", before=CUTOFF)])
            deleting.start()
            until(lambda: blocked(window) == 1)
            window.commit()
            deleting.join()

        assert (rows(database, "tickets"), rows(database, "predictions")) == ([], [])


class TestDeadLetters:
    def test_old_ones_are_deleted_and_recent_ones_stay(self, database: Database) -> None:
        insert_dead_letters(database, *(b"%d" % number for number in range(1002)))
        with database.autocommit() as connection:
            connection.execute(text("UPDATE dead_letters SET died_at = :at WHERE id > 1"), {"at": OLD})

        assert sum(delete_old_rows(database, "dead_letters", before=CUTOFF, dry_run=True)) == 1001
        assert list(delete_old_rows(database, "dead_letters", before=CUTOFF))[:2] == [1000, 1]

        assert [row["id"] for row in rows(database, "dead_letters")] == [1]


class TestCommand:
    @pytest.fixture
    def filled(self, database: Database) -> Database:
        """Three old texts and two old dead letters."""
        now = datetime.now(UTC)
        write_window(database, [ticket(str(days), now - days * DAY) for days in (1, 40, 50, 60)])
        insert_dead_letters(database, b"a", b"b", b"c", lane=Lane.BULK)
        with database.autocommit() as connection:
            connection.execute(text("UPDATE dead_letters SET died_at = now() - interval '40 days' WHERE id < 3"))
        return database

    def test_it_reports_what_it_purged(self, triagem: Triagem, filled: Database) -> None:
        outputs = [triagem("db", "retain", "--days", "30", "--yes").out.splitlines() for _ in range(2)]

        assert [[line.split() for line in output[:3]] for output in outputs] == [
            [["data", "days", "deleted"], ["texts", "30", count], ["dead_letters", "30", letters]]
            for count, letters in (("3", "2"), ("0", "0"))
        ]
        assert with_text(filled) == ["1"]
        assert "(text purged)" in triagem("show", "zendesk", "40").out
        entries = [(entry.action, entry.object, entry.outcome) for entry in list_audit(filled, limit=9)]
        assert entries == [("data.delete", "dead_letters > 30 d", "2"), ("data.delete", "texts > 30 d", "3")]
        assert "texts and dead letters stay" in triagem("db", "retain", "--dry-run").out

    def test_a_dry_run_asks_nothing_and_changes_nothing(self, triagem: Triagem, filled: Database) -> None:
        answer = json.loads(triagem("db", "retain", "--days", "30", "--dry-run", "--json").out)

        assert (answer["to_delete"]["texts"], answer["to_delete"]["dead_letters"], answer["dry_run"]) == (3, 2, True)
        assert "deleted" not in answer
        assert list_audit(filled, limit=9) == []
        assert len(with_text(filled)) == 4
        assert len(rows(filled, "dead_letters")) == 3

    def test_texts_stay_unless_a_number_of_days_is_set(
        self, triagem: Triagem, filled: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "texts" not in json.loads(triagem("db", "retain", "--yes", "--json").out)["deleted"]
        assert len(with_text(filled)) == 4

        monkeypatch.setenv("TRIAGEM_RETAIN_TEXTS_DAYS", "30")

        assert json.loads(triagem("db", "retain", "--yes", "--json").out)["deleted"]["texts"] == 3

    def test_nothing_is_purged_without_a_confirmation(self, triagem: Triagem, filled: Database) -> None:
        assert_one_line(triagem("db", "retain", "--days", "30"), "--yes")

        assert len(with_text(filled)) == 4

    @pytest.mark.parametrize("days", ["0", "-1", "1000000", "x"])
    def test_an_invalid_number_of_days_is_a_usage_error(self, triagem: Triagem, days: str) -> None:
        assert triagem("db", "retain", "--days", days, "--yes").status == 2
