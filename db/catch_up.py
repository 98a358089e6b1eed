"""What processes of a former release leave undone while both run, because they know nothing of newer tables."""

from typing import Final

from sqlalchemy import text

from triagem.contracts.ticket import PREDICT
from triagem.db.connect import Database, database_errors
from triagem.db.forget import ABOUT

_WORDS_DUE: Final = text(f"""
INSERT INTO search_due (ticket_id) SELECT id FROM tickets t
WHERE t.text IS NOT NULL AND t.source <> '{PREDICT}'
  AND NOT EXISTS (SELECT FROM ticket_words w WHERE (w.ticket_id, w.digest) = (t.id, t.digest))
  AND NOT EXISTS (SELECT FROM search_due d WHERE d.ticket_id = t.id)
""")  # noqa: S608 - built from a constant
_PURGED_WORDS: Final = text("DELETE FROM ticket_words USING tickets t WHERE ticket_id = t.id AND t.text IS NULL")
_FORGOTTEN: Final = [
    text(f"DELETE FROM {table.name} USING tickets t WHERE ticket_id = t.id AND t.forgotten_at IS NOT NULL")  # noqa: S608
    for table in ABOUT
]


def catch_up(database: Database) -> None:
    """Delete what stands about tickets that they have forgotten or purged; let search look at those that they stored.

    Reads all tickets: for an upgrade, not for every day.
    """
    with database_errors(), database.engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in (*_FORGOTTEN, _PURGED_WORDS, _WORDS_DUE):
            connection.execute(statement)
