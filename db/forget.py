"""What is known of one ticket, deleted: a tombstone stays, so that no redelivery brings the ticket back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, text

from triagem.contracts.ticket import Identity
from triagem.contracts.wire import identity, is_check
from triagem.db import dead
from triagem.db.connect import Database
from triagem.db.tables import Base, Ticket

# Everything that speaks of a ticket by its id, tables of later versions among it.
ABOUT: Final = [
    table
    for table in Base.metadata.sorted_tables
    if any(key.column.table is Ticket.__table__ for key in table.foreign_keys)
]

# All but identity and tombstone is emptied. A tombstone stands last in the order by receipt and in that by
# confidence, out of the way of pages and of the least sure.
_EMPTY: Final = {
    "text": "NULL", "digest": "''", "metadata": "'{}'", "revised_at": "'epoch'", "received_at": "'epoch'",
    "epoch": "0", "label": "''", "confidence": "1", "probabilities": "'{}'", "band": "''", "model_version": "''",
    "tokens": "0", "truncated": "false", "classified_at": "'epoch'",
}  # fmt: skip
_ENTOMB: Final = text(f"""
INSERT INTO tickets AS t (source, external_id, forgotten_at, {", ".join(_EMPTY)})
VALUES (:source, :external_id, now(), {", ".join(_EMPTY.values())})
ON CONFLICT (source, external_id) DO UPDATE SET
  forgotten_at = now(), {", ".join(f"{name} = excluded.{name}" for name in _EMPTY)}
WHERE t.forgotten_at IS NULL
""")  # noqa: S608 - built from the constants above; values travel as parameters
_FIND: Final = text("""
SELECT id, forgotten_at, received_at FROM tickets WHERE (source, external_id) = (:source, :external_id)
""")


@dataclass(frozen=True, slots=True)
class Stored:
    """What stands in the database under an identity. `received_at` says nothing once it is forgotten."""

    id: int
    forgotten_at: datetime | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Deleted:
    """Rows that were deleted, by table, and letters that do not say whose they are: these were not searched."""

    rows: dict[str, int]
    dead_letters: int
    unreadable: int


def find(database: Database, whose: Identity) -> Stored | None:
    """The ticket or its tombstone."""
    with database.autocommit() as connection:
        row = connection.execute(_FIND, whose._asdict()).one_or_none()
    return None if row is None else Stored(*row)


def entomb(database: Database, whose: Identity) -> bool:
    """Make the ticket a tombstone, also one that was never stored; False if it was one already.

    Before anything else is deleted: only then can nothing that a worker has in hand be stored any more.
    """
    with database.autocommit() as connection:
        return connection.execute(_ENTOMB, whose._asdict()).rowcount > 0


def delete_rest(database: Database, whose: Identity) -> Deleted:
    """Delete all that stands about a tombstone in other tables, and its dead letters."""
    tombstone = find(database, whose)
    assert tombstone is not None
    assert tombstone.forgotten_at is not None
    rows = {}
    with database.autocommit() as connection:
        for table in ABOUT:
            rows[table.name] = connection.execute(delete(table).where(table.c.ticket_id == tombstone.id)).rowcount
    found, unreadable = 0, 0
    for page in dead.pages(database):
        letters = [letter for letter in page if not is_check(letter.payload)]  # these hold a ticket's number, no more
        owners = [identity(letter.payload) for letter in letters]
        ours = [letter.id for letter, owner in zip(letters, owners, strict=True) if owner == whose]
        found += dead.remove(database, ours)
        unreadable += owners.count(None)
    return Deleted(rows, found, unreadable)
