"""System alerts (drift, retraining due, calibration), and lists of alerts.

The statement in `triagem.db.tickets.window` writes the alerts of single tickets.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from triagem.db.connect import Database

DRIFT: Final = "drift"
RETRAINING_DUE: Final = "retraining-due"
CALIBRATION: Final = "calibration"
LOW_CONFIDENCE: Final = "low-confidence"
RUN_ENDED: Final = "run-ended"
# Checked every minute by a task that beat schedules.
MONITOR_KINDS: Final = ("unsure-share", "error-rate", "latency", "memory", "oldest-ticket", "no-worker", "registry")
# Sent by the process that detects the problem, without a row in `alerts`.
OUTAGE_KINDS: Final = ("redis", "postgres", "no-task")
ALERT_KINDS: Final = frozenset(
    {LOW_CONFIDENCE, DRIFT, RETRAINING_DUE, CALIBRATION, RUN_ENDED, *MONITOR_KINDS, *OUTAGE_KINDS}
)

_RAISE: Final = text("""
INSERT INTO alerts (kind, key, detail) VALUES (:kind, :key, CAST(:detail AS jsonb)) ON CONFLICT (kind, key) DO NOTHING
""")
_NEWEST: Final = text("""
SELECT a.id, a.kind, coalesce(a.key, t.source || ' ' || t.external_id) AS about, t.source, t.external_id, a.band,
  a.confidence, a.detail, a.created_at, a.delivered_at
FROM alerts a LEFT JOIN tickets t ON t.id = a.ticket_id
WHERE (CAST(:kind AS text) IS NULL OR a.kind = :kind) AND (NOT :undelivered OR a.delivered_at IS NULL)
ORDER BY a.id DESC LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert. `about` is a ticket, named by `source` and `external_id`, or the key of a system alert."""

    id: int
    kind: str
    about: str
    source: str | None
    external_id: str | None
    band: str | None
    confidence: float | None
    detail: Mapping[str, Any] | None
    created_at: datetime
    delivered_at: datetime | None

    @property
    def summary(self) -> str | None:
        """A line for people; None for a ticket's alert."""
        return (self.detail or {}).get("summary")


def raise_alert(database: Database, kind: str, key: str, detail: Mapping[str, Any]) -> bool:
    """Raise an alert that does not concern a single ticket; False if this kind and key already have one.

    `detail`: the values behind the alert, for its readers.
    """
    return database.execute(_RAISE, kind=kind, key=key, detail=json.dumps(dict(detail))) > 0


def undelivered_alerts(database: Database, *, kind: str | None = None, limit: int) -> list[Alert]:
    """Undelivered alerts, newest first."""
    return [Alert(*row) for row in database.rows(_NEWEST, kind=kind, undelivered=True, limit=limit)]


def newest_alerts(database: Database, *, limit: int) -> list[Alert]:
    """The newest alerts, delivered or not."""
    return [Alert(*row) for row in database.rows(_NEWEST, kind=None, undelivered=False, limit=limit)]
