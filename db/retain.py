"""What is old, deleted page by page. Of texts labels, counts, history and digests stay; of a source nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database

_PAGE: Final = 1000

# A text is old when it is long ago both that the ticket was received and that it was last revised: a ticket of last
# year that its customer revised today has a new text. Paged over all tickets received before, not over those with
# a text: when most are purged already, looking for a thousand with one would take longer than a statement may.
_OLD: Final = f"""
WITH page AS (
  SELECT id, received_at FROM tickets
  WHERE received_at < :before AND (received_at, id) > (:after_received, :after_id)
  ORDER BY received_at, id LIMIT {_PAGE}
), old AS (
  SELECT id FROM tickets
  WHERE id IN (SELECT id FROM page) AND revised_at < :before AND (text IS NOT NULL OR metadata <> '{{}}')
"""  # noqa: S608 - built from the constant above; values travel as parameters
_LAST: Final = """
SELECT received_at, id, (SELECT count(*) FROM page) AS seen, (SELECT count(*) FROM purged) AS purged
FROM page ORDER BY received_at DESC, id DESC LIMIT 1
"""
# Locked in the order of the window's statement, or two of them could wait for each other.
_PURGE: Final = text(f"""{_OLD}
  ORDER BY source COLLATE "C", external_id COLLATE "C" FOR NO KEY UPDATE
), purged AS (
  UPDATE tickets SET text = NULL, metadata = '{{}}' WHERE id IN (SELECT id FROM old) RETURNING 1
) {_LAST}""")  # noqa: S608
_COUNT: Final = text(f"{_OLD}), purged AS (SELECT FROM old) {_LAST}")

_PURGE_WORDS: Final = text("""
DELETE FROM ticket_words USING tickets t
WHERE ticket_id = t.id AND t.text IS NULL
  AND (t.received_at, t.id) > (:after_received, :after_id) AND (t.received_at, t.id) <= (:received, :id)
""")


def purge_texts(database: Database, *, before: datetime, dry_run: bool = False) -> Iterator[tuple[int, int]]:
    """Purge text and metadata of tickets that were received and last revised before a time.

    Each page is a statement of its own, in autocommit: nothing is locked for longer, and whoever stops it has what
    was done so far.

    Yields:
        Tickets looked at and texts purged, a page each. A dry run only counts.
    """
    received_at, last = datetime.min.replace(tzinfo=UTC), 0
    while True:
        with database.autocommit() as connection:
            row = connection.execute(
                _COUNT if dry_run else _PURGE, {"before": before, "after_received": received_at, "after_id": last}
            ).one_or_none()
        if row is None:
            return
        if not dry_run:
            # Afterwards: `triagem.db.search` may have looked at a text until it was locked.
            with database.autocommit() as connection:
                page = {"after_received": received_at, "after_id": last, "received": row.received_at, "id": row.id}
                connection.execute(_PURGE_WORDS, page)
        received_at, last = row.received_at, row.id
        yield row.seen, row.purged


# Of a tombstone the time of receipt says nothing. Locked in the order of the window's statement.
_DROP_SOURCE: Final = text(f"""
DELETE FROM tickets WHERE id IN (
  SELECT id FROM tickets WHERE source = :source AND received_at < :before AND forgotten_at IS NULL
  ORDER BY source COLLATE "C", external_id COLLATE "C" LIMIT {_PAGE} FOR UPDATE
)
""")  # noqa: S608


def drop_tickets(database: Database, source: str, *, before: datetime) -> Iterator[int]:
    """Delete all that is known of a source's tickets that were received before a time; yields how many, a page each.

    Without tombstones: what is delivered once more is there again.
    """
    dropped = _PAGE
    while dropped == _PAGE:
        with database.autocommit() as connection:
            dropped = connection.execute(_DROP_SOURCE, {"source": source, "before": before}).rowcount
        yield dropped


_DROP: Final = text(f"""
DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE died_at < :before ORDER BY id LIMIT {_PAGE})
""")  # noqa: S608
_COUNT_LETTERS: Final = text("SELECT count(*) FROM dead_letters WHERE died_at < :before")


def drop_letters(database: Database, *, before: datetime, dry_run: bool = False) -> Iterator[int]:
    """Delete dead letters that died before a time; yields how many, a page each. A dry run only counts."""
    if dry_run:
        with database.autocommit() as connection:
            counted = int(connection.execute(_COUNT_LETTERS, {"before": before}).scalar_one())
        yield counted
        return
    dropped = _PAGE
    while dropped == _PAGE:
        with database.autocommit() as connection:
            dropped = connection.execute(_DROP, {"before": before}).rowcount
        yield dropped
