"""What a former release's processes did while this one's tables were there, as its statements left it."""

from sqlalchemy import text

from tests.support.builders import classified
from tests.support.runs import scalar
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.forget import entomb
from triagem.db.search import learn
from triagem.db.upgrade import upgrade
from triagem.db.window import write


def test_search_looks_at_tickets_that_nobody_noted_for_it_and_at_no_others(database: Database) -> None:
    write(database, [classified(external_id=name) for name in ("looked at", "due", "missed")])
    forget_to_note(database, "due", "missed")
    learn(database)
    with database.autocommit() as connection:
        connection.execute(text("INSERT INTO search_due SELECT id FROM tickets WHERE external_id = 'due'"))
    upgrade(database)
    due = "SELECT string_agg(external_id, ' ' ORDER BY external_id) FROM search_due JOIN tickets ON id = ticket_id"
    assert scalar(database, due) == "due missed"


def forget_to_note(database: Database, *names: str) -> None:
    with database.autocommit() as connection:
        gone = text("DELETE FROM search_due USING tickets WHERE id = ticket_id AND external_id = ANY(:names)")
        connection.execute(gone, {"names": list(names)})


def test_nothing_is_left_of_a_ticket_that_it_has_forgotten(database: Database) -> None:
    write(database, [classified(external_id=name) for name in ("forgotten", "kept")])
    learn(database)
    entomb(database, Identity("zendesk", "forgotten"))  # and nothing else: it does not know the other tables
    upgrade(database)
    for table in ("ticket_words", "predictions"):
        left = f"SELECT string_agg(external_id, ' ') FROM {table} JOIN tickets ON id = ticket_id"
        assert scalar(database, left) == "kept"


def test_no_word_is_left_of_a_text_that_it_has_purged(database: Database) -> None:
    write(database, [classified()])
    learn(database)
    with database.autocommit() as connection:
        connection.execute(text("UPDATE tickets SET text = NULL"))
    upgrade(database)
    assert scalar(database, "SELECT count(*) FROM ticket_words") == 0
