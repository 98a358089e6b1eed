"""Retention: purges old ticket texts, and deletes a source's tickets or old operational history.

1,000 rows per statement. Labels, counts, history and digests of a purged ticket stay. Current results, predictions,
reviews, and what is still in progress are never deleted (INV-34).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database

_PAGE: Final = 1000

# A text is old if both receipt and last revision are before the limit: a ticket received last year has a new text if
# its customer revised it today. Pages cover all tickets received before, not only those with a text: when most are
# purged already, finding a thousand with a text would exceed the statement timeout.
# Locked in the same order as in the window's statement; otherwise the two could deadlock.
_OLD: Final = "id IN (SELECT id FROM page) AND revised_at < :before AND (text IS NOT NULL OR metadata <> '{}')"
_PURGE: Final = text(f"""
WITH page AS (
  SELECT id, received_at FROM tickets
  WHERE received_at < :before AND (received_at, id) > (:after_received, :after_id)
  ORDER BY received_at, id LIMIT :page
), old AS (
  SELECT id FROM tickets WHERE {_OLD} AND NOT :dry_run
  ORDER BY source COLLATE "C", external_id COLLATE "C" FOR NO KEY UPDATE
), purged AS (
  UPDATE tickets SET text = NULL, metadata = '{{}}' WHERE id IN (SELECT id FROM old) RETURNING 1
)
SELECT received_at, id,
  (SELECT count(*) FROM purged) + (SELECT count(*) FROM tickets WHERE :dry_run AND {_OLD}) AS purged
FROM page ORDER BY received_at DESC, id DESC LIMIT 1
""")  # noqa: S608 - built from the constant above
_PURGE_LEXEMES: Final = text("""
DELETE FROM ticket_lexemes USING tickets t
WHERE ticket_id = t.id AND t.text IS NULL
  AND (t.received_at, t.id) > (:after_received, :after_id) AND (t.received_at, t.id) <= (:received, :id)
""")
_PURGE_MESSAGES: Final = text("""
UPDATE messages m SET text = NULL FROM tickets t
WHERE m.ticket_id = t.id AND m.text IS NOT NULL AND t.revised_at < :before AND m.revised_at < :before
  AND (t.received_at, t.id) > (:after_received, :after_id) AND (t.received_at, t.id) <= (:received, :id)
""")
_PURGE_COMMENTS: Final = text("""
UPDATE reviews v SET comment = NULL FROM tickets t
WHERE v.ticket_id = t.id AND v.comment IS NOT NULL AND t.text IS NULL
  AND (t.received_at, t.id) > (:after_received, :after_id) AND (t.received_at, t.id) <= (:received, :id)
""")


def purge_texts(database: Database, *, before: datetime, dry_run: bool = False) -> Iterator[int]:
    """Purge text and metadata of tickets that were received and last revised before a time.

    Each page is its own autocommit statement: locks last one page, and after an interruption the finished pages stay.

    Yields:
        Purged texts per page. A dry run only counts.
    """
    received_at, last = datetime.min.replace(tzinfo=UTC), 0
    while True:
        row = database.one_or_none(
            _PURGE, before=before, after_received=received_at, after_id=last, page=_PAGE, dry_run=dry_run
        )
        if row is None:
            return
        if not dry_run:
            # Deleted after the purge, because `triagem.db.tickets.search` may index a text until it is locked.
            page = {"after_received": received_at, "after_id": last, "received": row.received_at, "id": row.id}
            for statement in (_PURGE_LEXEMES, _PURGE_COMMENTS, _PURGE_MESSAGES):
                database.execute(statement, **page, before=before)
        received_at, last = row.received_at, row.id
        yield row.purged


# Tombstones stay, because their time of receipt has no meaning. Tickets are locked in the order of the window's
# statement.
_DELETE_TICKETS: Final = text("""
DELETE FROM tickets WHERE id IN (
  SELECT id FROM tickets WHERE source = :source AND received_at < :before AND forgotten_at IS NULL
  ORDER BY source COLLATE "C", external_id COLLATE "C" LIMIT :page FOR UPDATE
)
""")


def delete_source_tickets(database: Database, source: str, *, before: datetime) -> Iterator[int]:
    """Delete a source's tickets received before a time, with everything about them; yields the number per page.

    Leaves no tombstones: a redelivered ticket is stored again.
    """
    deleted = _PAGE
    while deleted == _PAGE:
        deleted = database.execute(_DELETE_TICKETS, source=source, before=before, page=_PAGE)
        yield deleted


# By table: when a row was created, and the condition that it can be deleted. A ticket's delivery to a target stays,
# because it records which result the receiver has. Samples stay while their version gets new ones, because they are
# the reference for drift.
OLD: Final = {
    "deliveries": ("created_at", "t.finished_at < :before AND t.kind = 'alert'"),
    "alerts": (
        "created_at",
        """
        NOT EXISTS (
          SELECT FROM alert_notifications n JOIN deliveries d ON d.id = n.delivery_id
          WHERE n.alert_id = t.id AND d.state = 'waiting'
        )
        """,
    ),
    "samples": (
        "sampled_at",
        """
        NOT EXISTS (
          SELECT FROM samples newer WHERE newer.model_version = t.model_version AND newer.sampled_at >= :before
        )
        """,
    ),
    "training_jobs": ("requested_at", "t.finished_at < :before"),
    "dead_letters": ("died_at", "true"),
    "audit": ("at", "true"),
}
_DELETE_CHANGES: Final = text("""
DELETE FROM run_changes WHERE ctid = ANY(ARRAY(SELECT ctid FROM run_changes WHERE run_id = :run LIMIT :page))
""")


def delete_old_rows(database: Database, table: str, *, before: datetime, dry_run: bool = False) -> Iterator[int]:
    """Delete rows of a table in `OLD` from before a time; yields their number per page.

    A dry run only counts.
    """
    created_at, condition = OLD[table]
    action = f"FROM {table} t USING page WHERE t.id = page.id AND {condition}"
    action = f"SELECT 1 {action.replace('USING page', ', page')}" if dry_run else f"DELETE {action} RETURNING 1"
    statement = text(f"""
    WITH page AS (
      SELECT id FROM {table} WHERE id > :after AND {created_at} < :before ORDER BY id LIMIT :page
    ), old AS ({action})
    SELECT (SELECT max(id) FROM page) AS last, (SELECT count(*) FROM old) AS deleted
    """)  # noqa: S608 - built from the constants above
    after = 0
    while after is not None:
        row = database.one(statement, before=before, after=after, page=_PAGE)
        after = row.last
        yield row.deleted


def delete_old_changes(database: Database, *, before: datetime, dry_run: bool = False) -> Iterator[int]:
    """Delete the `run_changes` of runs that ended before a time; yields the rows per page. The runs stay."""
    for run in database.scalars(
        "SELECT id FROM reclassify_runs WHERE finished_at < :before ORDER BY id", before=before
    ):
        if dry_run:
            yield database.scalar_one("SELECT count(*) FROM run_changes WHERE run_id = :run", run=run)
            continue
        deleted = _PAGE
        while deleted == _PAGE:
            deleted = database.execute(_DELETE_CHANGES, run=run, page=_PAGE)
            yield deleted
