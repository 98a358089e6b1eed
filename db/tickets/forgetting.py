"""Deletes everything about one ticket. A tombstone stays, so that a redelivery does not restore the ticket."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete

from triagem.contracts.ticket import Identity
from triagem.contracts.wire import decode_identity, is_ref
from triagem.db.connect import Database
from triagem.db.schema import TICKET_TABLES
from triagem.db.tickets.dead_letters import DeadLetterWithPayload, dead_letter_pages, delete_dead_letters

# A tombstone sorts last by time of receipt. It also sorts last by confidence, because it has none. So pages and the
# query for the least confident tickets do not read tombstones.
_WRITE_TOMBSTONE: Final = """
INSERT INTO tickets AS t (source, external_id, forgotten_at, text, digest, metadata, revised_at, arrival, revision,
  received_at, epoch, lane, language)
VALUES (:source, :external_id, now(), NULL, '', '{}', 'epoch', 0, 0, 'epoch', 0, '', '')
ON CONFLICT (source, external_id) DO UPDATE SET
  forgotten_at = now(), text = excluded.text, digest = excluded.digest, metadata = excluded.metadata,
  revised_at = excluded.revised_at, arrival = excluded.arrival, revision = excluded.revision,
  received_at = excluded.received_at, epoch = excluded.epoch, lane = excluded.lane, channel = NULL,
  language = excluded.language, on_reply = NULL, state = NULL, label = NULL, confidence = NULL, probabilities = NULL,
  band = NULL, abstain_reason = NULL, model_version = NULL, tokens = NULL, truncated = NULL, classified_at = NULL
WHERE t.forgotten_at IS NULL
"""
_FIND: Final = """
SELECT id, forgotten_at, received_at, digest FROM tickets WHERE (source, external_id) = (:source, :external_id)
"""


@dataclass(frozen=True, slots=True)
class StoredTicket:
    """The stored ticket or tombstone of an identity; a tombstone's `received_at` and `digest` have no meaning.

    `digest`: of the current text.
    """

    id: int
    forgotten_at: datetime | None
    received_at: datetime
    digest: bytes


def find_ticket(database: Database, ticket: Identity) -> StoredTicket | None:
    """The ticket or its tombstone; None if there is neither."""
    return database.first(StoredTicket, _FIND, **ticket._asdict())


def write_tombstone(database: Database, ticket: Identity) -> bool:
    """Replace the ticket, stored or not, by a tombstone; False if it already is one.

    Call it before any other deletion: from then on, no worker can store an entry that it is processing.
    """
    return database.execute(_WRITE_TOMBSTONE, **ticket._asdict()) > 0


def letter_owners(letter: DeadLetterWithPayload) -> Collection[Identity]:
    """The ticket of a dead letter in our own format; empty if it cannot be identified."""
    owner = decode_identity(letter.payload)
    return () if owner is None else (owner,)


def delete_related(
    database: Database,
    ticket: Identity,
    owners_of: Callable[[DeadLetterWithPayload], Collection[Identity]] = letter_owners,
) -> tuple[dict[str, int], int, int]:
    """Delete the rows of a tombstone in all other tables, and the dead letters that name it.

    Returns:
        Deleted rows by table, deleted dead letters, and unreadable dead letters, whose ticket cannot be identified.
    """
    tombstone = find_ticket(database, ticket)
    assert tombstone is not None
    assert tombstone.forgotten_at is not None
    rows = {
        table.name: database.execute(delete(table).where(table.c.ticket_id == tombstone.id))
        for table in TICKET_TABLES
    }
    deleted, unreadable = 0, 0
    for page in dead_letter_pages(database):
        letters = [letter for letter in page if not is_ref(letter.payload)]  # references hold only a ticket's number
        owners = [owners_of(letter) for letter in letters]
        ids = [letter.id for letter, named in zip(letters, owners, strict=True) if ticket in named]
        deleted += delete_dead_letters(database, ids)
        unreadable += sum(not named for named in owners)
    return rows, deleted, unreadable
