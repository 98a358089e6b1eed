"""Delivery outbox: leases due results for CRMs, and records the outcome of results and alert digests.

Rows are written by the window's statement, by reviews and by `triagem.db.outbox.alert_digests`. A delivery is leased
before it is sent and marked afterwards, each in its own statement: no transaction is open while a receiver responds.
If the process dies in between, the lease expires and the delivery is sent again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

from sqlalchemy import text

from triagem.contracts.prediction import Band
from triagem.db.connect import Database

# Longer than the requests of a delivery may take together; a killed worker's delivery waits this long.
LEASE: Final = timedelta(seconds=60)


class DeliveryState(StrEnum):
    """State of a delivery. `superseded`: the ticket had a newer text or a newer delivery by then, or an alert digest
    had no content left."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    SUPERSEDED = "superseded"


_SYNC_TARGETS: Final = text("""
WITH targets AS (
  SELECT * FROM unnest(CAST(:targets AS text[]), CAST(:sources AS text[])) AS t(target, source)
), removed AS (
  DELETE FROM result_targets r WHERE NOT EXISTS (SELECT FROM targets t WHERE t.target = r.target)
)
INSERT INTO result_targets (target, source) SELECT target, source FROM targets ON CONFLICT DO NOTHING
""")


def sync_result_targets(database: Database, targets: Mapping[str, str]) -> None:
    """Replace the targets that receive results of live tickets.

    Args:
        targets: the source of each target's tickets.
    """
    with database.autocommit() as connection:
        connection.execute(_SYNC_TARGETS, {"targets": list(targets), "sources": list(targets.values())})


@dataclass(frozen=True, slots=True)
class LeasedResult:
    """A leased result delivery with the current state of its ticket; `label` and `band` are the effective ones.

    `review_id`: the review that caused the delivery, negative if it was undone, 0 if none.
    `previous_labels`: labels that earlier deliveries of the ticket may have had.
    """

    id: int
    attempts: int
    review_id: int
    superseded: bool
    source: str
    external_id: str
    digest: bytes
    revised_at: datetime
    label: str
    confidence: float
    band: Band
    model_version: str
    classified_at: datetime
    reviewed: bool
    previous_labels: Sequence[str]


_DUE: Final = text("""
SELECT DISTINCT target FROM deliveries WHERE state = 'waiting' AND kind = :kind AND next_at <= now() ORDER BY target
""")


def due_targets(database: Database, kind: str = "result") -> list[str]:
    """Targets that have due deliveries."""
    with database.autocommit() as connection:
        return list(connection.execute(_DUE, {"kind": kind}).scalars())


# One delivery of a ticket at a time, and never an older one after a newer: the last result a CRM receives is the
# current one. A delivery sends the current result, of whichever version: only another text or a later delivery of the
# ticket supersedes it.
_LEASE: Final = text("""
WITH due AS (
  SELECT d.id FROM deliveries d
  WHERE d.state = 'waiting' AND d.kind = 'result' AND d.target = :target AND d.next_at <= now() AND NOT EXISTS (
    SELECT FROM deliveries o WHERE o.ticket_id = d.ticket_id AND o.target = d.target AND o.leased_until > now()
  )
  ORDER BY d.next_at LIMIT 1 FOR UPDATE SKIP LOCKED
), leased AS (
  UPDATE deliveries d SET attempts = attempts + 1, next_at = now() + :lease, leased_until = now() + :lease
  FROM due WHERE d.id = due.id RETURNING d.*
)
SELECT d.id, d.attempts, d.review_id,
  d.digest <> t.digest OR t.forgotten_at IS NOT NULL OR EXISTS (
    SELECT FROM deliveries n WHERE (n.ticket_id, n.target) = (d.ticket_id, d.target) AND n.id > d.id
  ) AS superseded,
  t.source, t.external_id, t.digest, t.revised_at, coalesce(r.label, t.label) AS label, t.confidence,
  CASE WHEN r.label IS NULL THEN t.band ELSE 'automate' END AS band, t.model_version, t.classified_at,
  r.label IS NOT NULL AS reviewed,
  ARRAY(
    SELECT p.label FROM predictions p
    WHERE p.ticket_id = t.id AND (d.review_id <> 0 OR (p.digest, p.model_version) <> (t.digest, t.model_version))
    UNION SELECT o.label FROM reviews o WHERE o.ticket_id = t.id AND o.label IS NOT NULL
  ) AS previous_labels
FROM leased d JOIN tickets t ON t.id = d.ticket_id
LEFT JOIN LATERAL (
  SELECT label FROM reviews r WHERE (r.ticket_id, r.digest) = (t.id, t.digest) ORDER BY r.id DESC LIMIT 1
) AS r ON true
""")


def lease_result(database: Database, target: str) -> LeasedResult | None:
    """Lease the delivery that has been due for longest; None if none is due."""
    with database.autocommit() as connection:
        row = connection.execute(_LEASE, {"target": target, "lease": LEASE}).mappings().one_or_none()
    return None if row is None else LeasedResult(**{**row, "band": Band(row["band"])})


class LeasedDelivery(Protocol):
    """A leased delivery: a result or an alert digest."""

    @property
    def id(self) -> int: ...
    @property
    def attempts(self) -> int: ...


# After its lease expired a process can only mark a delivery as delivered: that stays true.
_MARK: Final = text("""
WITH marked AS (
  UPDATE deliveries SET state = :state, last_error = :reason, leased_until = NULL,
    finished_at = CASE WHEN :state = 'waiting' THEN NULL ELSE now() END,
    next_at = CASE WHEN :state = 'waiting' THEN now() + :retry_after ELSE next_at END
  WHERE id = :id AND state = 'waiting' AND (attempts = :attempts OR :state = 'delivered')
  RETURNING id
)
UPDATE alerts a SET delivered_at = now() FROM marked, alert_notifications n
WHERE :state = 'delivered' AND n.delivery_id = marked.id AND a.id = n.alert_id AND a.delivered_at IS NULL
""")


def mark_delivery(
    database: Database,
    leased: LeasedDelivery,
    state: DeliveryState,
    *,
    reason: str | None = None,
    retry_after_s: float = 0.0,
) -> None:
    """Record the outcome; a delivery in state `waiting` is due again after `retry_after_s` seconds."""
    values = {"id": leased.id, "attempts": leased.attempts, "state": str(state), "reason": reason}
    with database.autocommit() as connection:
        connection.execute(_MARK, {**values, "retry_after": timedelta(seconds=retry_after_s)})


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """A delivery in a list. `about`: its ticket or number of alerts; `last_error`: why the last attempt failed."""

    id: int
    target: str
    about: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_at: datetime | None
    last_error: str | None


_LIST: Final = text("""
SELECT d.id, d.target,
  coalesce(t.source || ' ' || t.external_id, (
    SELECT count(*) || ' alerts' FROM alert_notifications n WHERE n.delivery_id = d.id
  )) AS about, d.state, d.attempts, d.created_at,
  CASE WHEN d.state = 'waiting' THEN d.next_at END AS next_at, d.last_error
FROM deliveries d LEFT JOIN tickets t ON t.id = d.ticket_id
WHERE (CAST(:state AS text) IS NULL OR d.state = :state) AND (CAST(:target AS text) IS NULL OR d.target = :target)
ORDER BY d.id DESC LIMIT :limit
""")


def list_deliveries(
    database: Database, *, state: DeliveryState | None = None, target: str | None = None, limit: int
) -> list[DeliverySummary]:
    """The newest deliveries."""
    with database.autocommit() as connection:
        values = {"state": state and str(state), "target": target, "limit": limit}
        rows = connection.execute(_LIST, values).mappings()
        return [DeliverySummary(**{**row, "state": DeliveryState(row["state"])}) for row in rows]


_REPLAY_FAILED: Final = text("""
UPDATE deliveries SET state = 'waiting', attempts = 0, next_at = now(), finished_at = NULL
WHERE state = 'failed' AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY(:ids))
  AND (CAST(:target AS text) IS NULL OR target = :target)
""")
_DROP_FAILED: Final = text("""
DELETE FROM deliveries
WHERE state = 'failed' AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY(:ids))
  AND (CAST(:target AS text) IS NULL OR target = :target)
""")


def replay_deliveries(database: Database, *, ids: Sequence[int] | None = None, target: str | None = None) -> int:
    """Queue failed deliveries again, starting from the first attempt; returns their number."""
    with database.autocommit() as connection:
        return connection.execute(_REPLAY_FAILED, _selection(ids, target)).rowcount


def drop_deliveries(database: Database, *, ids: Sequence[int] | None = None, target: str | None = None) -> int:
    """Delete failed deliveries; returns their number. Their results and alerts stay, and are not sent."""
    with database.autocommit() as connection:
        return connection.execute(_DROP_FAILED, _selection(ids, target)).rowcount


def _selection(ids: Sequence[int] | None, target: str | None) -> dict[str, Any]:
    return {"ids": None if ids is None else list(ids), "target": target}
