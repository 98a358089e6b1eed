"""Delivery outbox: leases due results for CRMs, and records the outcome of results and alert digests.

Results wait here when a window, a review or a run changes them; alert digests come from
`triagem.db.outbox.alerts`. A delivery is leased before it is sent and marked afterwards, each in its own
statement: no transaction is open while a receiver responds. If the process dies in between, the lease expires and the
delivery is sent again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from triagem.contracts.prediction import Band
from triagem.db.connect import Database

# Longer than all requests of one delivery may take. After a worker is killed, its delivery waits this long.
LEASE: Final = timedelta(seconds=60)


class DeliveryState(StrEnum):
    """State of a delivery. `superseded`: an alert digest had no content left. `dropped`: by an operator."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    DROPPED = "dropped"


_SYNC_TARGETS: Final = """
WITH targets AS (
  SELECT * FROM unnest(CAST(:targets AS text[]), CAST(:sources AS text[])) AS t(target, source)
), removed AS (
  DELETE FROM result_targets r WHERE NOT EXISTS (SELECT FROM targets t WHERE t.target = r.target)
)
INSERT INTO result_targets (target, source) SELECT target, source FROM targets ON CONFLICT DO NOTHING
"""


def sync_result_targets(database: Database, targets: Mapping[str, str]) -> None:
    """Replace the targets that receive results of live tickets, given with the source of each target's tickets."""
    database.execute(_SYNC_TARGETS, targets=list(targets), sources=list(targets.values()))


@dataclass(frozen=True, slots=True)
class LeasedDelivery:
    """A delivery that this process holds until `leased_until`: a result, or an alert digest."""

    id: int
    attempts: int
    created_at: datetime
    leased_until: datetime | None


@dataclass(frozen=True, slots=True)
class LeasedResult(LeasedDelivery):
    """A leased result delivery with the current state of its ticket; `label` and `band` are the effective ones.

    `created_at`: when the result last changed. `unchanged`: the receiver already has this result.
    `previous_labels`: labels that earlier deliveries of the ticket may have had.
    """

    unchanged: bool
    source: str
    external_id: str
    revision: int
    revised_at: datetime
    label: str
    confidence: float
    band: Band
    model_version: str
    classified_at: datetime
    reviewed: bool
    abstain_reason: str | None
    previous_labels: Sequence[str]


_DUE: Final = """
SELECT DISTINCT target FROM deliveries WHERE state = 'waiting' AND kind = :kind AND next_at <= now() ORDER BY target
"""


def due_targets(database: Database, kind: str = "result") -> list[str]:
    """Targets that have due deliveries."""
    return database.scalars(_DUE, kind=kind)


# At most one request per ticket at a time, so the last result that a CRM receives is the current one.
_LEASE: Final = """
WITH due AS (
  SELECT d.id, d.delivered_at FROM deliveries d JOIN tickets t ON t.id = d.ticket_id
  WHERE d.state = 'waiting' AND d.kind = 'result' AND d.target = :target AND d.next_at <= now()
    AND coalesce(d.leased_until <= now(), true) AND t.state = 'classified'
  ORDER BY d.next_at LIMIT 1 FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries d SET attempts = attempts + 1, next_at = now() + :lease, leased_until = now() + :lease,
  delivered_at = NULL
FROM due WHERE d.id = due.id
RETURNING d.id, d.attempts, d.created_at, d.leased_until, due.delivered_at IS NOT NULL AS known
"""
# A separate statement, so that the result is at least as new as the change at `created_at`.
_RESULT: Final = """
SELECT t.source, t.external_id, t.revision, t.revised_at, e.label, t.confidence, e.band, t.model_version,
  t.classified_at, e.reviewed, CASE WHEN NOT e.reviewed THEN t.abstain_reason END AS abstain_reason,
  :known AND (d.delivered_revision, d.delivered_label, d.delivered_band, d.delivered_reviewed)
    IS NOT DISTINCT FROM (t.revision, e.label, e.band, e.reviewed) AS unchanged,
  ARRAY(
    SELECT p.label FROM predictions p
    WHERE p.ticket_id = t.id AND (e.reviewed OR (p.digest, p.model_version) <> (t.digest, t.model_version))
    UNION SELECT o.label FROM reviews o WHERE o.ticket_id = t.id AND o.label IS NOT NULL
    UNION SELECT d.delivered_label WHERE d.delivered_label IS NOT NULL
  ) AS previous_labels
FROM deliveries d JOIN tickets t ON t.id = d.ticket_id
LEFT JOIN LATERAL (
  SELECT label FROM reviews r WHERE (r.ticket_id, r.digest) = (t.id, t.digest) ORDER BY r.id DESC LIMIT 1
) AS r ON true
CROSS JOIN LATERAL (
  SELECT coalesce(r.label, t.label) AS label, CASE WHEN r.label IS NULL THEN t.band ELSE 'automate' END AS band,
    r.label IS NOT NULL AS reviewed
) AS e
WHERE d.id = :id AND t.state = 'classified'
"""


def lease_result(database: Database, target: str) -> LeasedResult | None:
    """Lease the delivery that has been due for longest; None if none is due."""
    leased = database.one_or_none(_LEASE, target=target, lease=LEASE)
    if leased is None:
        return None
    *lease, received_result = leased
    row = database.one_or_none(_RESULT, id=leased.id, known=received_result)
    return None if row is None else LeasedResult(*lease, **{**row._asdict(), "band": Band(row.band)})


# A result that changed meanwhile has another `created_at` and still waits. After its lease has expired, a process can
# still mark a delivery as delivered, because the receiver has the result, but it can record no other outcome.
_MARK: Final = """
WITH marked AS (
  UPDATE deliveries SET leased_until = NULL, last_error = :reason,
    state = CASE WHEN created_at = :created_at THEN :state ELSE 'waiting' END,
    finished_at = CASE WHEN created_at = :created_at AND :state <> 'waiting' THEN now() END,
    next_at = CASE WHEN created_at = :created_at AND :state = 'waiting' THEN now() + :retry_after ELSE next_at END,
    delivered_revision = coalesce(:revision, delivered_revision), delivered_label = coalesce(:label, delivered_label),
    delivered_band = coalesce(:band, delivered_band), delivered_reviewed = coalesce(:reviewed, delivered_reviewed),
    delivered_at = CASE WHEN :state = 'delivered' THEN now() END
  WHERE id = :id AND state = 'waiting'
    AND (leased_until = :leased_until OR (:state = 'delivered' AND created_at = :created_at))
  RETURNING id
)
UPDATE alerts a SET delivered_at = now() FROM marked, alert_notifications n
WHERE :state = 'delivered' AND n.delivery_id = marked.id AND a.id = n.alert_id AND a.delivered_at IS NULL
"""


def mark_delivery(
    database: Database,
    leased: LeasedDelivery,
    state: DeliveryState,
    *,
    reason: str | None = None,
    retry_after_s: float = 0.0,
) -> None:
    """Record the outcome; a delivery in state `waiting` is due again after `retry_after_s` seconds."""
    result = leased if state is DeliveryState.DELIVERED else None
    delivered = {name: getattr(result, name, None) for name in ("revision", "label", "band", "reviewed")}
    database.execute(
        _MARK, id=leased.id, created_at=leased.created_at, leased_until=leased.leased_until, state=str(state),
        reason=reason, retry_after=timedelta(seconds=retry_after_s), **delivered,
    )  # fmt: skip


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


_LIST: Final = """
SELECT d.id, d.target,
  coalesce(t.source || ' ' || t.external_id, (
    SELECT count(*) || ' alerts' FROM alert_notifications n WHERE n.delivery_id = d.id
  )) AS about, d.state, d.attempts, d.created_at,
  CASE WHEN d.state = 'waiting' THEN d.next_at END AS next_at, d.last_error
FROM deliveries d LEFT JOIN tickets t ON t.id = d.ticket_id
WHERE (CAST(:state AS text) IS NULL OR d.state = :state) AND (CAST(:target AS text) IS NULL OR d.target = :target)
ORDER BY d.created_at DESC, d.id DESC LIMIT :limit
"""


def list_deliveries(
    database: Database, *, state: DeliveryState | None = None, target: str | None = None, limit: int
) -> list[DeliverySummary]:
    """The newest deliveries."""
    rows = database.rows(_LIST, state=state and str(state), target=target, limit=limit)
    return [DeliverySummary(**{**row._asdict(), "state": DeliveryState(row.state)}) for row in rows]


def deliveries_exist(database: Database, ids: Sequence[int]) -> bool:
    """Whether there is a delivery with one of these ids."""
    return bool(database.scalar_one("SELECT EXISTS (SELECT FROM deliveries WHERE id = ANY(:ids))", ids=list(ids)))


_FAILED: Final = """
WHERE state = 'failed' AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY(:ids))
  AND (CAST(:target AS text) IS NULL OR target = :target)
"""
_REPLAY_FAILED: Final = f"""
UPDATE deliveries SET state = 'waiting', attempts = 0, next_at = now(), finished_at = NULL {_FAILED}
"""  # noqa: S608 - built from the constant above, as below
# The row stays, because a later result of the ticket is sent through it.
_DROP_FAILED: Final = f"UPDATE deliveries SET state = 'dropped' {_FAILED}"  # noqa: S608


def replay_deliveries(database: Database, *, ids: Sequence[int] | None = None, target: str | None = None) -> int:
    """Queue failed deliveries again, starting from the first attempt; returns their number."""
    return database.execute(_REPLAY_FAILED, ids=None if ids is None else list(ids), target=target)


def drop_deliveries(database: Database, *, ids: Sequence[int] | None = None, target: str | None = None) -> int:
    """Drop failed deliveries; returns their number. If a result changes later, it is sent."""
    return database.execute(_DROP_FAILED, ids=None if ids is None else list(ids), target=target)
