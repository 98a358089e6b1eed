"""Alerts: raises system alerts, lists alerts, and batches those that match a subscription into deliveries.

The statement in `triagem.db.tickets.window` writes the alerts of single tickets.

A matching alert becomes a notification; `create_digests` combines the pending ones of a subscription into one
delivery, at most one per interval. Its content is read when it is sent, so that a ticket forgotten in the meantime is
not mentioned.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from triagem.contracts.prediction import Band
from triagem.db.connect import Database
from triagem.db.outbox.deliveries import LEASE, LeasedDelivery

DRIFT: Final = "drift"
RETRAINING_DUE: Final = "retraining-due"
CALIBRATION: Final = "calibration"
LOW_CONFIDENCE: Final = "low-confidence"
RUN_ENDED: Final = "run-ended"
TRAINING_ENDED: Final = "training-ended"
# Checked every minute by a task that beat schedules.
MONITOR_KINDS: Final = ("unsure-share", "error-rate", "latency", "memory", "oldest-ticket", "no-worker", "registry")
# Sent by the process that detects the problem; `triagem ops` stores a row in `alerts` when it has ended.
OUTAGE_KINDS: Final = ("redis", "postgres", "no-task")
ALERT_KINDS: Final = frozenset(
    {LOW_CONFIDENCE, DRIFT, RETRAINING_DUE, TRAINING_ENDED, CALIBRATION, RUN_ENDED, *MONITOR_KINDS, *OUTAGE_KINDS}
)

_RAISE: Final = """
INSERT INTO alerts (kind, key, detail) VALUES (:kind, :key, CAST(:detail AS jsonb)) ON CONFLICT (kind, key) DO NOTHING
"""
_RECORD_OUTAGE: Final = """
INSERT INTO alerts (kind, key, detail, matched_at, delivered_at)
VALUES (:kind, :key, CAST(:detail AS jsonb), now(), CASE WHEN :is_sent THEN now() END)
ON CONFLICT (kind, key) DO NOTHING
"""
_NEWEST: Final = """
SELECT a.id, a.kind, coalesce(a.key, t.source || ' ' || t.external_id) AS about, t.source, t.external_id, a.band,
  a.confidence, a.detail, a.created_at, a.delivered_at
FROM alerts a LEFT JOIN tickets t ON t.id = a.ticket_id
WHERE (CAST(:kind AS text) IS NULL OR a.kind = :kind) AND (NOT :undelivered OR a.delivered_at IS NULL)
ORDER BY a.id DESC LIMIT :limit
"""


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


@dataclass(frozen=True, slots=True)
class EndedOutage:
    """An outage that has ended. `is_sent`: the process that noticed it sends its messages."""

    kind: str
    since: datetime
    detail: Mapping[str, Any]
    is_sent: bool


def record_outage(database: Database, outage: EndedOutage) -> None:
    """Store an outage as an alert that no target receives again."""
    database.execute(
        _RECORD_OUTAGE,
        kind=outage.kind,
        key=f"{outage.since:%Y-%m-%dT%H:%M:%SZ} outage",
        detail=json.dumps(dict(outage.detail)),
        is_sent=outage.is_sent,
    )


def newest_alerts(
    database: Database, *, limit: int, kind: str | None = None, undelivered: bool = False
) -> list[Alert]:
    """Alerts of a kind, or of all kinds, newest first: all, or only those that are undelivered."""
    return [Alert(*row) for row in database.rows(_NEWEST, kind=kind, undelivered=undelivered, limit=limit)]


_BATCH: Final = 5000  # alerts matched in one statement
MAX_DOUBTFUL: Final = 5  # tickets listed in a digest
_MAX_EVENTS: Final = 20


# The alerts that a target receives, and the minimum interval between its digests: the fields of `_SUBSCRIPTIONS`. A
# filter that is null accepts all. System alerts are filtered by `kinds` only. `under` is an upper limit of the
# confidence, exclusive.
Subscription = Mapping[str, Any]
_SUBSCRIPTIONS: Final = """WITH subscriptions AS (
  SELECT * FROM json_to_recordset(CAST(:subscriptions AS json)) AS s(
    target text, every_s float8, kinds text[], labels text[], sources text[], bands text[], under float8
  )
)"""
_MATCH: Final = f"""
{_SUBSCRIPTIONS}, batch AS (
  UPDATE alerts SET matched_at = now() WHERE id IN (
    SELECT id FROM alerts WHERE matched_at IS NULL ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
  ) RETURNING *
), notifications AS (
  INSERT INTO alert_notifications (alert_id, target)
  SELECT a.id, s.target FROM batch a JOIN subscriptions s ON a.kind = ANY (s.kinds)
  LEFT JOIN tickets t ON t.id = a.ticket_id
  LEFT JOIN predictions p ON (p.ticket_id, p.digest, p.model_version) = (a.ticket_id, a.digest, a.model_version)
  WHERE a.ticket_id IS NULL OR (
    (s.labels IS NULL OR p.label = ANY (s.labels)) AND (s.sources IS NULL OR t.source = ANY (s.sources))
    AND (s.bands IS NULL OR a.band = ANY (s.bands)) AND (s.under IS NULL OR a.confidence < s.under)
  )
)
SELECT count(*) FROM batch
"""  # noqa: S608 - built from the constant above, as below

# Two concurrent calls create one digest: the second waits for the row lock, then finds `last_digest_at` too recent.
# A system alert does not wait for the interval: if two calls see the same alert, the second call's digest is empty.
# While a digest waits for an unavailable receiver, new notifications wait for the next digest.
_CREATE_DIGESTS: Final = f"""
{_SUBSCRIPTIONS}, due AS (
  INSERT INTO alert_subscriptions AS t (target)
  SELECT target FROM subscriptions s
  WHERE EXISTS (SELECT FROM alert_notifications n WHERE n.target = s.target AND n.delivery_id IS NULL)
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.target = s.target AND d.kind = 'alert' AND d.state = 'waiting')
  ORDER BY target
  ON CONFLICT (target) DO UPDATE SET last_digest_at = now()
    WHERE t.last_digest_at <= now() - make_interval(
      secs => (SELECT every_s FROM subscriptions s WHERE s.target = t.target)
    ) OR EXISTS (
      SELECT FROM alert_notifications n JOIN alerts a ON a.id = n.alert_id
      WHERE n.target = t.target AND n.delivery_id IS NULL AND a.ticket_id IS NULL
    )
  RETURNING target
), created AS (
  INSERT INTO deliveries (kind, target) SELECT 'alert', target FROM due RETURNING id, target
)
UPDATE alert_notifications n SET delivery_id = created.id
FROM created WHERE n.target = created.target AND n.delivery_id IS NULL
"""  # noqa: S608


def create_digests(database: Database, subscriptions: Sequence[Subscription]) -> None:
    """Match new alerts with the subscriptions; create a digest of a target's pending notifications, for each target
    with a pending system alert or with a last digest that is at least `every_s` old."""
    document = json.dumps(subscriptions)
    while database.scalar_one(_MATCH, subscriptions=document, batch=_BATCH) == _BATCH:
        pass
    database.execute(_CREATE_DIGESTS, subscriptions=document)


@dataclass(frozen=True, slots=True)
class DoubtfulCount:
    """Number of doubtful tickets of one label and source. `label` is None for tickets without a decision."""

    label: str | None
    source: str
    tickets: int


@dataclass(frozen=True, slots=True)
class DoubtfulTicket:
    """A doubtful ticket, with its values when the alert was raised. `label` is None without a decision."""

    source: str
    external_id: str
    label: str | None
    confidence: float
    band: Band
    abstain_reason: str | None = None


@dataclass(frozen=True, slots=True)
class SystemEvent:
    """A system alert. `detail` contains its values, and a one-line English `summary`."""

    kind: str
    at: datetime
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AlertDigest(LeasedDelivery):
    """A leased digest. `events`: the newest system alerts; `more`: the number of further ones.

    `doubtful`: the least confident of the tickets counted in `counts`, in ascending order of confidence.
    """

    target: str
    counts: Sequence[DoubtfulCount]
    doubtful: Sequence[DoubtfulTicket]
    events: Sequence[SystemEvent]
    more: int = 0

    @property
    def key(self) -> str:
        """A key that is the same in each attempt, so that receivers can deduplicate."""
        return f"alert_{self.id}_{self.created_at:%Y%m%d%H%M%S%f}"

    @property
    def empty(self) -> bool:
        """Whether the digest has nothing left to send, because its tickets were forgotten."""
        return not self.counts and not self.events


_LEASE: Final = """
WITH due AS (
  SELECT id FROM deliveries WHERE state = 'waiting' AND kind = 'alert' AND target = :target AND next_at <= now()
  ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE deliveries d SET attempts = attempts + 1, next_at = now() + :lease, leased_until = now() + :lease
FROM due WHERE d.id = due.id RETURNING d.id, d.attempts, d.target, d.created_at, d.leased_until
"""
_DOUBTFUL_TICKETS: Final = """
FROM alert_notifications n JOIN alerts a ON a.id = n.alert_id JOIN tickets t ON t.id = a.ticket_id
JOIN predictions p ON (p.ticket_id, p.digest, p.model_version) = (a.ticket_id, a.digest, a.model_version)
WHERE n.delivery_id = :id
"""
_LABEL: Final = f"CASE WHEN a.band <> '{Band.ABSTAIN}' THEN p.label END AS label"
_COUNTS: Final = f"""
SELECT {_LABEL}, t.source, count(DISTINCT t.id) AS tickets
{_DOUBTFUL_TICKETS} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""
_DOUBTFUL: Final = f"""
SELECT t.source, t.external_id, {_LABEL}, a.confidence, a.band, p.abstain_reason
{_DOUBTFUL_TICKETS} ORDER BY a.confidence, a.id LIMIT :limit
"""
_EVENTS: Final = """
SELECT a.kind, a.created_at AS at, coalesce(a.detail, '{}') AS detail, count(*) OVER () AS total
FROM alert_notifications n JOIN alerts a ON a.id = n.alert_id
WHERE n.delivery_id = :id AND a.ticket_id IS NULL ORDER BY a.id DESC LIMIT :limit
"""


def lease_digest(database: Database, target: str) -> AlertDigest | None:
    """Lease the digest that has been due for longest; None if none is due."""
    row = database.one_or_none(_LEASE, target=target, lease=LEASE)
    if row is None:
        return None
    doubtful = database.rows(_DOUBTFUL, id=row.id, limit=MAX_DOUBTFUL)
    events = database.rows(_EVENTS, id=row.id, limit=_MAX_EVENTS)
    return AlertDigest(
        **row._asdict(),
        counts=[DoubtfulCount(*count) for count in database.rows(_COUNTS, id=row.id)],
        doubtful=[DoubtfulTicket(**{**ticket._asdict(), "band": Band(ticket.band)}) for ticket in doubtful],
        events=[SystemEvent(kind, at, detail) for kind, at, detail, _ in events],
        more=events[0].total - len(events) if events else 0,
    )
