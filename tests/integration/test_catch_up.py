"""What a former release's processes did while this one's tables were there, as its statements left it."""

from sqlalchemy import text

from tests.support.builders import classified
from tests.support.runs import scalar
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.forgetting import write_tombstone
from triagem.db.search import index_queued_tickets
from triagem.db.upgrade import upgrade
from triagem.db.window import write_window


def test_search_looks_at_tickets_that_nobody_noted_for_it_and_at_no_others(database: Database) -> None:
    write_window(database, [classified(external_id=name) for name in ("looked at", "due", "missed")])
    forget_to_note(database, "due", "missed")
    index_queued_tickets(database)
    with database.autocommit() as connection:
        connection.execute(text("INSERT INTO search_queue SELECT id FROM tickets WHERE external_id = 'due'"))
    upgrade(database)
    due = "SELECT string_agg(external_id, ' ' ORDER BY external_id) FROM search_queue JOIN tickets ON id = ticket_id"
    assert scalar(database, due) == "due missed"


def forget_to_note(database: Database, *names: str) -> None:
    with database.autocommit() as connection:
        gone = text("DELETE FROM search_queue USING tickets WHERE id = ticket_id AND external_id = ANY(:names)")
        connection.execute(gone, {"names": list(names)})


def test_nothing_is_left_of_a_ticket_that_it_has_forgotten(database: Database) -> None:
    write_window(database, [classified(external_id=name) for name in ("forgotten", "kept")])
    index_queued_tickets(database)
    write_tombstone(database, Identity("zendesk", "forgotten"))  # and nothing else: it does not know the other tables
    upgrade(database)
    for table in ("ticket_lexemes", "predictions"):
        left = f"SELECT string_agg(external_id, ' ') FROM {table} JOIN tickets ON id = ticket_id"
        assert scalar(database, left) == "kept"


def test_no_word_is_left_of_a_text_that_it_has_purged(database: Database) -> None:
    write_window(database, [classified()])
    index_queued_tickets(database)
    with database.autocommit() as connection:
        connection.execute(text("UPDATE tickets SET text = NULL"))
    upgrade(database)
    assert scalar(database, "SELECT count(*) FROM ticket_lexemes") == 0
