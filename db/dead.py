"""Dead letters: what could not be read or classified, kept byte for byte."""

from typing import Final

from sqlalchemy import text

from contracts.ticket import Lane
from db.connect import Database

_BURY: Final = text("""
INSERT INTO dead_letters (lane, entry_id, payload, reason) VALUES (:lane, :entry_id, :payload, :reason)
ON CONFLICT (lane, entry_id) DO NOTHING
""")


def bury(database: Database, lane: Lane, entry_id: bytes, payload: bytes, reason: str) -> None:
    """Keep an entry. Burying it twice changes nothing. The reason never holds the customer's text."""
    with database.autocommit() as connection:
        connection.execute(
            _BURY, {"lane": str(lane), "entry_id": entry_id.decode(), "payload": payload, "reason": reason}
        )
