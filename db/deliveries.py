"""The outbox of what is sent: results to CRMs, which the window's statement and a person's verdict write, and the
messages of `triagem.db.notices`. Here results are taken out, and of both is noted what became of them.

A delivery is leased before it is sent and settled after, each in a statement of its own: no transaction is open while
a receiver is waited for. Whoever dies in between leaves a lease that ends, and the delivery is sent once more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

from sqlalchemy import text

from triagem.contracts.prediction import Band
from triagem.db.connect import Database

# Longer than a delivery's requests may take together; also how long a killed worker's delivery waits.
LEASE: Final = timedelta(seconds=60)


class State(StrEnum):
    """What became of a delivery. `overtaken`: by then the ticket had a newer text or a newer answer; of
    a message about alerts, nothing was left to tell."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GAVE_UP = "gave-up"
    OVERTAKEN = "overtaken"


_KEEP: Final = text("""
WITH wanted AS (
  SELECT * FROM unnest(CAST(:targets AS text[]), CAST(:sources AS text[])) AS w(target, source)
), gone AS (
  DELETE FROM result_targets r WHERE NOT EXISTS (SELECT FROM wanted w WHERE w.target = r.target)
)
INSERT INTO result_targets (target, source) SELECT target, source FROM wanted ON CONFLICT DO NOTHING
""")


def keep_targets(database: Database, targets: Mapping[str, str]) -> None:
    """From now on, results of these sources are to be told, and no others.

    Args:
        targets: the source of each target's tickets.
    """
    with database.autocommit() as connection:
        connection.execute(_KEEP, {"targets": list(targets), "sources": list(targets.values())})


@dataclass(frozen=True, slots=True)
class Leased:
    """A delivery in hand, with what its ticket is now; `label` and `band` are the effective ones.

    `former`: labels that the ticket may have been given before.
    """

    id: int
    attempts: int
    review: int
    overtaken: bool
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
    former: Sequence[str]


_DUE: Final = text("""
SELECT DISTINCT target FROM deliveries WHERE state = 'waiting' AND kind = :kind AND next_at <= now() ORDER BY target
""")


def due(database: Database, kind: str = "result") -> list[str]:
    """The targets for which something is due."""
    with database.autocommit() as connection:
        return list(connection.execute(_DUE, {"kind": kind}).scalars())


# One of a ticket at a time, and never an older one after a newer: the last that a CRM hears is what holds. A
# delivery tells what is current, by whatever version: only another text, or a delivery after it, overtakes it.
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
SELECT d.id, d.attempts, d.review_id AS review,
  d.digest <> t.digest OR t.forgotten_at IS NOT NULL OR EXISTS (
    SELECT FROM deliveries n WHERE (n.ticket_id, n.target) = (d.ticket_id, d.target) AND n.id > d.id
  ) AS overtaken,
  t.source, t.external_id, t.digest, t.revised_at, coalesce(r.label, t.label) AS label, t.confidence,
  CASE WHEN r.label IS NULL THEN t.band ELSE 'automate' END AS band, t.model_version, t.classified_at,
  r.label IS NOT NULL AS reviewed,
  ARRAY(
    SELECT p.label FROM predictions p
    WHERE p.ticket_id = t.id AND (d.review_id <> 0 OR (p.digest, p.model_version) <> (t.digest, t.model_version))
    UNION SELECT o.label FROM reviews o WHERE o.ticket_id = t.id AND o.label IS NOT NULL
  ) AS former
FROM leased d JOIN tickets t ON t.id = d.ticket_id
LEFT JOIN LATERAL (
  SELECT label FROM reviews r WHERE (r.ticket_id, r.digest) = (t.id, t.digest) ORDER BY r.id DESC LIMIT 1
) AS r ON true
""")


def lease(database: Database, target: str) -> Leased | None:
    """Take the delivery that is due for longest; None if none is."""
    with database.autocommit() as connection:
        row = connection.execute(_LEASE, {"target": target, "lease": LEASE}).mappings().one_or_none()
    return None if row is None else Leased(**{**row, "band": Band(row["band"])})


class InHand(Protocol):
    """A delivery that was leased: a result, or a message about alerts."""

    @property
    def id(self) -> int: ...
    @property
    def attempts(self) -> int: ...


# Whose lease has ended says nothing more, but that it was delivered: that stays true.
_SETTLE: Final = text("""
WITH settled AS (
  UPDATE deliveries SET state = :state, last_error = :reason, leased_until = NULL,
    settled_at = CASE WHEN :state = 'waiting' THEN NULL ELSE now() END,
    next_at = CASE WHEN :state = 'waiting' THEN now() + :after ELSE next_at END
  WHERE id = :id AND state = 'waiting' AND (attempts = :attempts OR :state = 'delivered')
  RETURNING id
)
UPDATE alerts a SET delivered_at = now() FROM settled, alert_lines l
WHERE :state = 'delivered' AND l.delivery_id = settled.id AND a.id = l.alert_id AND a.delivered_at IS NULL
""")


def settle(
    database: Database, leased: InHand, state: State, *, reason: str | None = None, after_s: float = 0.0
) -> None:
    """Note what became of it; one that still waits is due again after so many seconds."""
    values = {"id": leased.id, "attempts": leased.attempts, "state": str(state), "reason": reason}
    with database.autocommit() as connection:
        connection.execute(_SETTLE, {**values, "after": timedelta(seconds=after_s)})


@dataclass(frozen=True, slots=True)
class Listed:
    """A delivery, for people. `why` is what the last attempt failed of."""

    id: int
    target: str
    about: str
    state: State
    attempts: int
    created_at: datetime
    next_at: datetime | None
    why: str | None


_CHOSEN: Final = """
(CAST(:ids AS bigint[]) IS NULL OR d.id = ANY(:ids)) AND (CAST(:state AS text) IS NULL OR d.state = :state)
AND (CAST(:target AS text) IS NULL OR d.target = :target)
"""
_LIST: Final = text(f"""
SELECT d.id, d.target,
  coalesce(t.source || ' ' || t.external_id, (
    SELECT count(*) || ' alerts' FROM alert_lines l WHERE l.delivery_id = d.id
  )) AS about, d.state, d.attempts, d.created_at,
  CASE WHEN d.state = 'waiting' THEN d.next_at END AS next_at, d.last_error AS why
FROM deliveries d LEFT JOIN tickets t ON t.id = d.ticket_id WHERE {_CHOSEN} ORDER BY d.id DESC LIMIT :limit
""")  # noqa: S608 - built from the constant above; values travel as parameters


def deliveries(
    database: Database, *, state: State | None = None, target: str | None = None, limit: int
) -> list[Listed]:
    """The newest deliveries."""
    with database.autocommit() as connection:
        rows = connection.execute(_LIST, {**_chosen(None, state, target), "limit": limit}).mappings()
        return [Listed(**{**row, "state": State(row["state"])}) for row in rows]


_REPLAY: Final = text(f"""
UPDATE deliveries d SET state = 'waiting', attempts = 0, next_at = now(), settled_at = NULL WHERE {_CHOSEN}
""")  # noqa: S608
_DROP: Final = text(f"DELETE FROM deliveries d WHERE {_CHOSEN}")  # noqa: S608


def replay(database: Database, *, ids: Sequence[int] | None = None, target: str | None = None) -> int:
    """Try those that were given up once more, from the first attempt on; how many."""
    with database.autocommit() as connection:
        return connection.execute(_REPLAY, _chosen(ids, State.GAVE_UP, target)).rowcount


def drop(database: Database, *, ids: Sequence[int] | None = None, target: str | None = None) -> int:
    """Delete those that were given up; how many. Their results and alerts stand, and are not told."""
    with database.autocommit() as connection:
        return connection.execute(_DROP, _chosen(ids, State.GAVE_UP, target)).rowcount


def _chosen(ids: Sequence[int] | None, state: State | None, target: str | None) -> dict[str, Any]:
    return {"ids": None if ids is None else list(ids), "state": state and str(state), "target": target}
