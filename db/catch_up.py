"""Catch-up after an upgrade: updates newer tables for rows that processes of the previous release wrote."""

from typing import Final

from sqlalchemy import text

from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.connect import Database, database_errors
from triagem.db.forgetting import TICKET_TABLES

_QUEUE_FOR_SEARCH: Final = text(f"""
INSERT INTO search_queue (ticket_id) SELECT id FROM tickets t
WHERE t.text IS NOT NULL AND t.source <> '{PREDICT_SOURCE}'
  AND NOT EXISTS (SELECT FROM ticket_lexemes l WHERE (l.ticket_id, l.digest) = (t.id, t.digest))
  AND NOT EXISTS (SELECT FROM search_queue q WHERE q.ticket_id = t.id)
""")  # noqa: S608 - built from a constant
_DELETE_PURGED_LEXEMES: Final = text(
    "DELETE FROM ticket_lexemes USING tickets t WHERE ticket_id = t.id AND t.text IS NULL"
)
_DELETE_FORGOTTEN: Final = [
    text(f"DELETE FROM {table.name} USING tickets t WHERE ticket_id = t.id AND t.forgotten_at IS NOT NULL")  # noqa: S608
    for table in TICKET_TABLES
]


def catch_up(database: Database) -> None:
    """Delete rows of tickets that those processes forgot or purged; queue tickets that they stored for indexing.

    Reads all tickets: for upgrades, not for daily use.
    """
    with database_errors(), database.engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in (*_DELETE_FORGOTTEN, _DELETE_PURGED_LEXEMES, _QUEUE_FOR_SEARCH):
            connection.execute(statement)
