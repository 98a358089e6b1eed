"""Dead letters: what could not be read or classified, kept byte for byte until somebody replays or drops it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from sqlalchemy import text

from triagem.contracts.ticket import Lane
from triagem.contracts.wire import identity
from triagem.db.connect import Database

# Where another letter has its lane: the letter is a webhook that could not be read, and behind this its source.
WEBHOOK: Final = "webhook:"
_FORGOTTEN: Final = """EXISTS (
  SELECT FROM tickets WHERE (source, external_id) = (:source, :external_id) AND forgotten_at IS NOT NULL
)"""
_BURY: Final = text(f"""
INSERT INTO dead_letters (lane, entry_id, payload, reason, attempts)
SELECT :lane, :entry_id, :payload, :reason, :attempts WHERE NOT {_FORGOTTEN}
ON CONFLICT (lane, entry_id) DO NOTHING
""")
_WITHDRAW: Final = text(f"""
DELETE FROM dead_letters WHERE (lane, entry_id) = (:lane, :entry_id) AND {_FORGOTTEN}
""")  # noqa: S608 - built from the constant above; values travel as parameters


def bury(database: Database, lane: Lane, entry_id: bytes, payload: bytes, reason: str, *, attempts: int = 1) -> None:
    """Keep an entry. Burying it twice changes nothing. The reason never holds the customer's text.

    A forgotten ticket's entry is not kept: a worker may have had it in hand while it was forgotten. A payload that
    says nowhere whose it is cannot be told apart, and is kept.
    """
    _keep(database, str(lane), entry_id.decode(), payload, reason=reason, attempts=attempts)


def bury_webhook(database: Database, source: str, body: bytes, reason: str) -> None:
    """Keep a webhook that could not be read, or not all of it; once, however often the CRM sends the same."""
    _keep(database, WEBHOOK + source, sha256(body).hexdigest(), body, reason=reason, attempts=1)


def _keep(database: Database, lane: str, entry_id: str, payload: bytes, *, reason: str, attempts: int) -> None:
    whose = identity(payload)
    source, external_id = whose or (None, None)
    key = {"lane": lane, "entry_id": entry_id, "source": source, "external_id": external_id}
    with database.autocommit() as connection:
        connection.execute(_BURY, {**key, "payload": payload, "reason": reason, "attempts": attempts})
        if whose:
            # Looked at again once it stands: the first statement may have begun before the tombstone was there and
            # ended after `forget` had searched the letters.
            connection.execute(_WITHDRAW, key)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its payload. `size` is the payload's, in bytes; 0: the entry had no field of ours."""

    id: int
    lane: str
    entry_id: str
    died_at: datetime
    attempts: int
    reason: str
    size: int


@dataclass(frozen=True, slots=True)
class OpenLetter(Letter):
    """A dead letter with its payload."""

    payload: bytes


_COLUMNS: Final = "id, lane, entry_id, died_at, attempts, reason, octet_length(payload) AS size"
_LIST: Final = text(f"""
SELECT {_COLUMNS} FROM dead_letters
WHERE (CAST(:lane AS text) IS NULL OR lane = :lane) AND (CAST(:since AS timestamptz) IS NULL OR died_at >= :since)
ORDER BY id DESC LIMIT :limit
""")  # noqa: S608 - built from constants; values travel as parameters
_OPEN: Final = text(f"SELECT {_COLUMNS}, payload FROM dead_letters WHERE id = :id")  # noqa: S608


def letters(
    database: Database, *, lane: Lane | None = None, since: datetime | None = None, limit: int
) -> list[Letter]:
    """The newest letters; `since` is inclusive, of their death."""
    with database.autocommit() as connection:
        rows = connection.execute(_LIST, {"lane": lane and str(lane), "since": since, "limit": limit})
        return [Letter(*row) for row in rows]


def opened(database: Database, letter_id: int) -> OpenLetter | None:
    """One letter with its payload."""
    with database.autocommit() as connection:
        row = connection.execute(_OPEN, {"id": letter_id}).one_or_none()
    return None if row is None else OpenLetter(*row)


_LAST: Final = text("SELECT coalesce(max(id), 0) FROM dead_letters")
# By size too: 500 of the longest tickets are 200 MB.
_PAGE_LETTERS: Final = 500
_PAGE_BYTES: Final = 16_000_000
_PAGE: Final = text(f"""
SELECT {_COLUMNS}, payload FROM (
  SELECT *, sum(octet_length(payload)) OVER (ORDER BY id) - octet_length(payload) AS before FROM (
    SELECT * FROM dead_letters
    WHERE id > :after AND id <= :last AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY(:ids))
      AND strpos(lower(reason), lower(:reason)) > 0
    ORDER BY id LIMIT {_PAGE_LETTERS}
  ) AS next
) AS page WHERE before < {_PAGE_BYTES} ORDER BY id
""")  # noqa: S608


def pages(
    database: Database, *, ids: Sequence[int] | None = None, reason_contains: str = ""
) -> Iterator[list[OpenLetter]]:
    """Letters with their payloads, oldest first, by keyset; `None` for `ids` means all.

    Ends at the letter that was the newest when it began: what is replayed may die again meanwhile, and would be
    replayed for ever.
    """
    with database.autocommit() as connection:
        last = connection.execute(_LAST).scalar_one()
    after = 0
    wanted = {"last": last, "ids": None if ids is None else list(ids), "reason": reason_contains}
    while True:
        with database.autocommit() as connection:
            page = [OpenLetter(*row) for row in connection.execute(_PAGE, {**wanted, "after": after})]
        if not page:
            return
        yield page
        after = page[-1].id


_REMOVE: Final = text("DELETE FROM dead_letters WHERE id = ANY(:ids)")


def remove(database: Database, ids: Sequence[int]) -> int:
    """Delete letters; how many were there."""
    with database.autocommit() as connection:
        return connection.execute(_REMOVE, {"ids": list(ids)}).rowcount
