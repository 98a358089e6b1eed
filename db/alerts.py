"""The outbox: what is to be told. The window's statement writes the alerts of tickets, this one the system's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from triagem.db.connect import Database
from triagem.db.runs import RUN_ENDED

DRIFT: Final = "drift"
RETRAINING_DUE: Final = "retraining-due"
LOW_CONFIDENCE: Final = "low-confidence"
# What beat has looked at, every minute.
WATCHED: Final = ("unsure-share", "error-rate", "latency", "memory", "oldest-ticket", "no-worker")
KINDS: Final = frozenset({LOW_CONFIDENCE, DRIFT, RETRAINING_DUE, RUN_ENDED, *WATCHED})

_RAISE: Final = text("""
INSERT INTO alerts (kind, key, detail) VALUES (:kind, :key, CAST(:detail AS jsonb)) ON CONFLICT (kind, key) DO NOTHING
""")
_UNDELIVERED: Final = text("""
SELECT a.id, a.kind, coalesce(a.key, t.source || ' ' || t.external_id) AS about, a.band, a.confidence, a.detail,
  a.created_at
FROM alerts a LEFT JOIN tickets t ON t.id = a.ticket_id
WHERE a.delivered_at IS NULL AND (CAST(:kind AS text) IS NULL OR a.kind = :kind) ORDER BY a.id DESC LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class Waiting:
    """An alert that was not delivered yet. `about` is a ticket, or a system alert's key."""

    id: int
    kind: str
    about: str
    band: str | None
    confidence: float | None
    detail: Mapping[str, Any] | None
    created_at: datetime


def raise_alert(database: Database, kind: str, key: str, detail: Mapping[str, Any]) -> bool:
    """Have something told that concerns no single ticket; False if it was told before.

    Args:
        key: what is the same thing: of each kind it is told once.
        detail: its figures, for who reads it.
    """
    with database.autocommit() as connection:
        row = {"kind": kind, "key": key, "detail": json.dumps(dict(detail))}
        return connection.execute(_RAISE, row).rowcount > 0


def undelivered(database: Database, *, kind: str | None = None, limit: int) -> list[Waiting]:
    """What is still to be told, newest first."""
    with database.autocommit() as connection:
        return [Waiting(**row) for row in connection.execute(_UNDELIVERED, {"kind": kind, "limit": limit}).mappings()]
