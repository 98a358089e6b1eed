"""`upgrade` catches up with what processes of the previous release wrote after the migrations."""

from sqlalchemy import text

from tests.support.builders import classified
from tests.support.runs import scalar
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.tickets.forgetting import write_tombstone
from triagem.db.tickets.search import index_queued_tickets
from triagem.db.tickets.window import write_window
from triagem.db.upgrade import upgrade


def test_tickets_missing_from_the_search_queue_are_added_and_no_others(database: Database) -> None:
    write_window(database, [classified(external_id=name) for name in ("looked at", "due", "missed")])
    remove_from_search_queue(database, "due", "missed")
    index_queued_tickets(database)
    with database.autocommit() as connection:
        connection.execute(text("INSERT INTO search_queue SELECT id FROM tickets WHERE external_id = 'due'"))
    upgrade(database)
    due = "SELECT string_agg(external_id, ' ' ORDER BY external_id) FROM search_queue JOIN tickets ON id = ticket_id"
    assert scalar(database, due) == "due missed"


def remove_from_search_queue(database: Database, *names: str) -> None:
    with database.autocommit() as connection:
        delete = text("DELETE FROM search_queue USING tickets WHERE id = ticket_id AND external_id = ANY(:names)")
        connection.execute(delete, {"names": list(names)})


def test_nothing_is_left_of_a_ticket_that_the_previous_release_has_forgotten(database: Database) -> None:
    write_window(database, [classified(external_id=name) for name in ("forgotten", "kept")])
    index_queued_tickets(database)
    write_tombstone(
        database, Identity("zendesk", "forgotten")
    )  # and nothing else: the previous release does not know the other tables
    upgrade(database)
    for table in ("ticket_lexemes", "predictions"):
        remaining = f"SELECT string_agg(external_id, ' ') FROM {table} JOIN tickets ON id = ticket_id"
        assert scalar(database, remaining) == "kept"


def test_no_lexeme_is_left_of_a_text_that_the_previous_release_has_purged(database: Database) -> None:
    write_window(database, [classified()])
    index_queued_tickets(database)
    with database.autocommit() as connection:
        connection.execute(text("UPDATE tickets SET text = NULL"))
    upgrade(database)
    assert scalar(database, "SELECT count(*) FROM ticket_lexemes") == 0
