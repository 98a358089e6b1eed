"""Read-only queries that only the console needs."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from triagem.contracts.ticket import PREDICT_SOURCE, Identity
from triagem.db.connect import Database
from triagem.db.review_sampling import ReviewTask
from triagem.db.reviews import ReviewRef
from triagem.db.runs import RUN_COLUMNS, ReclassifyRun

_PREVIEWS: Final = text("SELECT id, left(text, :chars) FROM tickets WHERE id = ANY(:ids)")
_ASSIGNED: Final = text("""
SELECT t.id, t.digest, t.source, t.external_id, t.text, t.revised_at, t.received_at, d.leased_until
FROM review_draws d JOIN tickets t ON (t.id, t.digest) = (d.ticket_id, d.digest)
WHERE d.leased_by = :reviewer AND d.leased_until > now() AND t.text IS NOT NULL AND t.id <> ALL(:exclude)
  AND NOT EXISTS (
    SELECT FROM reviews r WHERE (r.ticket_id, r.digest, r.reviewer) = (t.id, t.digest, :reviewer)
  )
ORDER BY d.leased_until DESC, t.id LIMIT 1
""")
_LAST: Final = text("""
SELECT id, reviewer FROM reviews
WHERE reviewer = :reviewer AND reviewed_at > now() - interval '1 hour' ORDER BY id DESC LIMIT 1
""")
_DIGEST: Final = text("SELECT digest FROM tickets WHERE (source, external_id) = (:source, :external_id)")


def text_previews(database: Database, ids: Iterable[int], *, chars: int) -> dict[int, str]:
    """The first characters of tickets' original texts, by ticket id; without purged texts."""
    with database.autocommit() as connection:
        rows = connection.execute(_PREVIEWS, {"ids": list(ids), "chars": chars})
        return {row[0]: row[1] for row in rows if row[1] is not None}


def assigned_task(database: Database, reviewer: str, *, exclude: Collection[int] = ()) -> ReviewTask | None:
    """The text that was assigned last to this reviewer and is not reviewed yet, ignoring the tickets in `exclude`."""
    with database.autocommit() as connection:
        row = connection.execute(_ASSIGNED, {"reviewer": reviewer, "exclude": list(exclude)}).one_or_none()
    return None if row is None else ReviewTask(*row)


def last_review(database: Database, reviewer: str) -> ReviewRef | None:
    """The reviewer's newest review of the last hour, if any."""
    with database.autocommit() as connection:
        row = connection.execute(_LAST, {"reviewer": reviewer}).one_or_none()
    return None if row is None else ReviewRef(*row)


def current_digest(database: Database, ticket: Identity) -> bytes | None:
    """The digest of the ticket's current text; None if there is no such ticket."""
    with database.autocommit() as connection:
        return connection.execute(_DIGEST, ticket._asdict()).scalar_one_or_none()


@dataclass(frozen=True, slots=True)
class RecentTicket:
    """A recent ticket, for the statistics of the overview. `label` is the effective one."""

    label: str
    confidence: float
    band: str
    received_at: datetime


_RECENT: Final = text("""
SELECT label, confidence, band, received_at FROM results
WHERE source <> :predict ORDER BY received_at DESC, ticket_id DESC LIMIT :limit
""")


def recent_tickets(database: Database, *, limit: int) -> list[RecentTicket]:
    """The newest tickets, newest first."""
    with database.autocommit() as connection:
        return [
            RecentTicket(*row) for row in connection.execute(_RECENT, {"limit": limit, "predict": PREDICT_SOURCE})
        ]


@dataclass(frozen=True, slots=True)
class AlertSummary:
    """An alert, delivered or not. `about` is a ticket, named by `source` and `external_id`, or a key."""

    kind: str
    about: str
    source: str | None
    external_id: str | None
    confidence: float | None
    summary: str | None
    created_at: datetime
    delivered_at: datetime | None


_ALERTS: Final = text("""
SELECT a.kind, coalesce(a.key, t.source || ' ' || t.external_id), t.source, t.external_id, a.confidence,
  a.detail->>'summary' AS summary, a.created_at, a.delivered_at
FROM alerts a LEFT JOIN tickets t ON t.id = a.ticket_id ORDER BY a.id DESC LIMIT :limit
""")
_RUNS: Final = text(f"SELECT {RUN_COLUMNS} FROM reclassify_runs ORDER BY id DESC LIMIT :limit")  # noqa: S608


def newest_alerts(database: Database, *, limit: int) -> list[AlertSummary]:
    """The newest alerts."""
    with database.autocommit() as connection:
        return [AlertSummary(*row) for row in connection.execute(_ALERTS, {"limit": limit})]


def newest_runs(database: Database, *, limit: int) -> list[ReclassifyRun]:
    """The newest reclassification runs."""
    with database.autocommit() as connection:
        return [ReclassifyRun(**row) for row in connection.execute(_RUNS, {"limit": limit}).mappings()]
