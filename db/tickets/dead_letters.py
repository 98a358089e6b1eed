"""Dead letters: entries that could not be read or classified, stored byte for byte until replayed or dropped."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import text

from triagem.contracts.ticket import Identity, Lane
from triagem.contracts.wire import decode_identity, longest_word
from triagem.db.connect import Database

# The column `lane` of an unreadable webhook holds this prefix and the webhook's source.
WEBHOOK_LANE_PREFIX: Final = "webhook:"
TASK_LANE: Final = "task"  # of an invalid ticket that a service submitted by the task `triagem.enqueue`
_INSERT: Final = text("""
INSERT INTO dead_letters (lane, entry_id, payload, reason, attempts)
SELECT :lane, :entry_id, :payload, :reason, :attempts WHERE NOT EXISTS (
  SELECT FROM tickets WHERE (source, external_id) = (:source, :external_id) AND forgotten_at IS NOT NULL
)
ON CONFLICT (lane, entry_id) DO NOTHING
""")
_DELETE_IF_FORGOTTEN: Final = text("""
DELETE FROM dead_letters WHERE (lane, entry_id) = (:lane, :entry_id) AND EXISTS (
  SELECT FROM tickets WHERE (source, external_id) = (:source, :external_id) AND forgotten_at IS NOT NULL
)
""")


def insert_dead_letter(
    database: Database, lane: Lane, entry_id: bytes, payload: bytes, reason: str, *, attempts: int = 1
) -> None:
    """Store an entry as a dead letter. Idempotent. The reason never contains the customer's text.

    An entry of a forgotten ticket is not stored: a worker may have been processing it while the ticket was forgotten.
    A payload whose ticket cannot be identified is stored.
    """
    _insert(database, str(lane), entry_id.decode(), payload, reason=reason, attempts=attempts)


def insert_webhook_dead_letter(database: Database, source: str, body: bytes, reason: str) -> None:
    """Store a webhook that could not be read, or only in part; once, also if the CRM repeats it."""
    _insert(database, WEBHOOK_LANE_PREFIX + source, sha256(body).hexdigest(), body, reason=reason, attempts=1)


def insert_task_dead_letter(database: Database, task_id: str, arguments: Mapping[str, Any], reason: str) -> None:
    """Store the arguments of a task `triagem.enqueue` that are not a valid ticket, as JSON."""
    # A lone surrogate becomes an escape such as \ud800, which JSON knows.
    payload = json.dumps(arguments, ensure_ascii=False).encode(errors="backslashreplace")
    _insert(database, TASK_LANE, task_id, payload, reason=reason, attempts=1)


def _insert(database: Database, lane: str, entry_id: str, payload: bytes, *, reason: str, attempts: int) -> None:
    ticket = None if lane.startswith(WEBHOOK_LANE_PREFIX) else decode_identity(payload)
    source, external_id = ticket or (None, None)
    key = {"lane": lane, "entry_id": entry_id, "source": source, "external_id": external_id}
    with database.autocommit() as connection:
        connection.execute(_INSERT, {**key, "payload": payload, "reason": reason, "attempts": attempts})
        if ticket:
            # Checked again after the insert: the first statement may have started before the tombstone was written
            # and ended after `forget` had searched the dead letters.
            connection.execute(_DELETE_IF_FORGOTTEN, key)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter without its payload. `size` is the payload's, in bytes; 0 if the entry had no payload field."""

    id: int
    lane: str
    entry_id: str
    died_at: datetime
    attempts: int
    reason: str
    size: int


@dataclass(frozen=True, slots=True)
class DeadLetterWithPayload(DeadLetter):
    """A dead letter with its payload."""

    payload: bytes


_LIST: Final = text("""
SELECT id, lane, entry_id, died_at, attempts, reason, octet_length(payload) AS size FROM dead_letters
WHERE (CAST(:lane AS text) IS NULL OR lane = :lane) AND (CAST(:since AS timestamptz) IS NULL OR died_at >= :since)
ORDER BY id DESC LIMIT :limit
""")


_NEWEST: Final = text("""
SELECT id, lane, entry_id, died_at, attempts, reason, octet_length(payload) AS size, payload
FROM (SELECT * FROM dead_letters ORDER BY id DESC LIMIT 1000) newest
WHERE lane IN ('live', 'bulk', 'task') AND position(CAST(:fragment AS bytea) IN payload) > 0
ORDER BY id DESC LIMIT 50
""")


def find_ticket_dead_letter(database: Database, ticket: Identity) -> DeadLetter | None:
    """The ticket's newest dead letter. Only the newest 1,000 dead letters are searched."""
    newest = database.rows(_NEWEST, fragment=longest_word(ticket.external_id))
    rows = [DeadLetterWithPayload(*row) for row in newest]
    return next((row for row in rows if decode_identity(row.payload) == ticket), None)


def list_dead_letters(
    database: Database, *, lane: Lane | None = None, since: datetime | None = None, limit: int
) -> list[DeadLetter]:
    """The newest dead letters; `since` is inclusive and compared with `died_at`."""
    return [DeadLetter(*row) for row in database.rows(_LIST, lane=lane and str(lane), since=since, limit=limit)]


def find_dead_letter(database: Database, letter_id: int) -> DeadLetterWithPayload | None:
    """One dead letter with its payload; None if there is none with this id."""
    return database.first(
        DeadLetterWithPayload,
        "SELECT id, lane, entry_id, died_at, attempts, reason, octet_length(payload) AS size, payload "
        "FROM dead_letters WHERE id = :id",
        id=letter_id,
    )


# Limited by size too: 500 of the longest tickets are 200 MB.
_PAGE: Final = text("""
SELECT id, lane, entry_id, died_at, attempts, reason, octet_length(payload) AS size, payload FROM (
  SELECT *, sum(octet_length(payload)) OVER (ORDER BY id) - octet_length(payload) AS before FROM (
    SELECT * FROM dead_letters
    WHERE id > :after AND id <= :last AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY(:ids))
    ORDER BY id LIMIT 500
  ) AS next
) AS page WHERE before < 16000000 ORDER BY id
""")


def dead_letter_pages(
    database: Database, *, ids: Sequence[int] | None = None
) -> Iterator[list[DeadLetterWithPayload]]:
    """Dead letters with their payloads, oldest first, by keyset pagination; `None` for `ids` means all.

    Ends at the dead letter that was the newest one at the start: a replayed entry may fail again meanwhile, and would
    otherwise be replayed forever.
    """
    last = database.scalar_one("SELECT coalesce(max(id), 0) FROM dead_letters")
    after = 0
    selection = {"last": last, "ids": None if ids is None else list(ids)}
    while True:
        page = [DeadLetterWithPayload(*row) for row in database.rows(_PAGE, **selection, after=after)]
        if not page:
            return
        yield page
        after = page[-1].id


def delete_dead_letters(database: Database, ids: Sequence[int]) -> int:
    """Delete dead letters; returns how many there were."""
    return database.execute("DELETE FROM dead_letters WHERE id = ANY(:ids)", ids=list(ids))
