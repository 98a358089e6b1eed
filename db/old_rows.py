"""Deletes old operational history, such as changes by runs, alerts and dead letters. 1,000 rows per statement.

Current results, predictions, reviews, and what is still in progress stay (INV-34).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database

_PAGE: Final = 1000

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
_RUNS: Final = text("SELECT id FROM reclassify_runs WHERE finished_at < :before ORDER BY id")
_DELETE_CHANGES: Final = text("""
DELETE FROM run_changes WHERE ctid = ANY(ARRAY(SELECT ctid FROM run_changes WHERE run_id = :run LIMIT :page))
""")
_COUNT_CHANGES: Final = text("SELECT count(*) FROM run_changes WHERE run_id = :run")


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
    for run in database.scalars(_RUNS, before=before):
        if dry_run:
            yield database.scalar_one(_COUNT_CHANGES, run=run)
            continue
        deleted = _PAGE
        while deleted == _PAGE:
            deleted = database.execute(_DELETE_CHANGES, run=run, page=_PAGE)
            yield deleted
