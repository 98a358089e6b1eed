"""Messages about alerts: which alerts a rule's channel is to hear of, several in one message, at most one a while.

Alerts that match wait as lines; `gather` makes a delivery of those that wait. Its words are made when it is sent,
from what stands here then: of a ticket that was forgotten meanwhile nothing is told.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text

from triagem.contracts.prediction import Band
from triagem.db.connect import Database
from triagem.db.deliveries import LEASE

_PAGE: Final = 5000  # alerts looked at in one statement
LEAST_SURE: Final = 5  # tickets that a message names
_EVENTS: Final = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts a target hears of, and in messages how far apart. None: all; of a system's alert only `kinds`
    counts."""

    target: str
    every_s: float
    kinds: Sequence[str]
    labels: Sequence[str] | None = None
    sources: Sequence[str] | None = None
    bands: Sequence[Band] | None = None
    under: float | None = None


_WANTED: Final = """
wanted AS (
  SELECT * FROM json_to_recordset(CAST(:wanted AS json)) AS w(
    target text, every_s float8, kinds text[], labels text[], sources text[], bands text[], under float8
  )
)
"""
_MATCH: Final = text(f"""
WITH {_WANTED}, looked AS (
  UPDATE alerts SET matched_at = now() WHERE id IN (
    SELECT id FROM alerts WHERE matched_at IS NULL ORDER BY id LIMIT {_PAGE} FOR UPDATE SKIP LOCKED
  ) RETURNING *
), lines AS (
  INSERT INTO alert_lines (alert_id, target)
  SELECT a.id, w.target FROM looked a JOIN wanted w ON a.kind = ANY (w.kinds)
  LEFT JOIN tickets t ON t.id = a.ticket_id
  LEFT JOIN predictions p ON (p.ticket_id, p.digest, p.model_version) = (a.ticket_id, a.digest, a.model_version)
  WHERE a.ticket_id IS NULL OR (
    (w.labels IS NULL OR p.label = ANY (w.labels)) AND (w.sources IS NULL OR t.source = ANY (w.sources))
    AND (w.bands IS NULL OR a.band = ANY (w.bands)) AND (w.under IS NULL OR a.confidence < w.under)
  )
)
SELECT count(*) FROM looked
""")  # noqa: S608 - built from constants; values travel as parameters

# Two at once make one message: the second waits for the first one's row, and finds its time too new. While a message
# waits for a receiver that is away, what comes waits for the next one.
_GATHER: Final = text(f"""
WITH {_WANTED}, due AS (
  INSERT INTO alert_targets AS t (target)
  SELECT target FROM wanted w
  WHERE EXISTS (SELECT FROM alert_lines l WHERE l.target = w.target AND l.delivery_id IS NULL)
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.target = w.target AND d.kind = 'alert' AND d.state = 'waiting')
  ORDER BY target
  ON CONFLICT (target) DO UPDATE SET told_at = now()
    WHERE t.told_at <= now() - make_interval(secs => (SELECT every_s FROM wanted w WHERE w.target = t.target))
  RETURNING target
), made AS (
  INSERT INTO deliveries (kind, target) SELECT 'alert', target FROM due RETURNING id, target
)
UPDATE alert_lines l SET delivery_id = made.id FROM made WHERE l.target = made.target AND l.delivery_id IS NULL
""")  # noqa: S608


def match(database: Database, wanted: Sequence[Wanted]) -> None:
    """Note of each alert that was not looked at yet who is to hear of it."""
    with database.autocommit() as connection:
        while connection.execute(_MATCH, _document(wanted)).scalar_one() == _PAGE:
            pass


def gather(database: Database, wanted: Sequence[Wanted]) -> None:
    """Make a message of what waits, for each target whose last message is long enough ago."""
    with database.autocommit() as connection:
        connection.execute(_GATHER, _document(wanted))


@dataclass(frozen=True, slots=True)
class Count:
    """Doubtful tickets of one label and source."""

    label: str
    source: str
    tickets: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """A doubtful ticket, as it was when the alert was written."""

    source: str
    external_id: str
    label: str
    confidence: float
    band: Band


@dataclass(frozen=True, slots=True)
class Event:
    """What the system has to tell. `detail` holds figures, and in `says` one line in English."""

    kind: str
    at: datetime
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about alerts, in hand to be sent. `events` are the newest; `more` are further ones.

    `doubts`: the least sure few of the tickets that `counts` counts, least sure first.
    """

    id: int
    attempts: int
    target: str
    created_at: datetime
    counts: Sequence[Count]
    doubts: Sequence[Doubt]
    events: Sequence[Event]
    more: int = 0

    @property
    def key(self) -> str:
        """The same at each attempt: receivers keep it to count a message once."""
        return f"alert_{self.id}_{self.created_at:%Y%m%d%H%M%S%f}"

    @property
    def empty(self) -> bool:
        """Whether nothing is left to tell: its tickets were forgotten."""
        return not self.counts and not self.events


_LEASE: Final = text("""
WITH due AS (
  SELECT id FROM deliveries WHERE state = 'waiting' AND kind = 'alert' AND target = :target AND next_at <= now()
  ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE deliveries d SET attempts = attempts + 1, next_at = now() + :lease, leased_until = now() + :lease
FROM due WHERE d.id = due.id RETURNING d.id, d.attempts, d.target, d.created_at
""")
_ABOUT: Final = """
FROM alert_lines l JOIN alerts a ON a.id = l.alert_id JOIN tickets t ON t.id = a.ticket_id
JOIN predictions p ON (p.ticket_id, p.digest, p.model_version) = (a.ticket_id, a.digest, a.model_version)
WHERE l.delivery_id = :id
"""
_COUNTS: Final = text(f"""
SELECT p.label, t.source, count(DISTINCT t.id) AS tickets {_ABOUT} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
""")
_DOUBTS: Final = text(f"""
SELECT t.source, t.external_id, p.label, a.confidence, a.band {_ABOUT} ORDER BY a.confidence, a.id LIMIT {LEAST_SURE}
""")
_EVENTS_OF: Final = text(f"""
SELECT a.kind, a.created_at AS at, coalesce(a.detail, '{{}}') AS detail, count(*) OVER () AS in_all
FROM alert_lines l JOIN alerts a ON a.id = l.alert_id
WHERE l.delivery_id = :id AND a.ticket_id IS NULL ORDER BY a.id DESC LIMIT {_EVENTS}
""")  # noqa: S608


def lease(database: Database, target: str) -> Notice | None:
    """Take the message that is due for longest; None if none is."""
    with database.autocommit() as connection:
        row = connection.execute(_LEASE, {"target": target, "lease": LEASE}).mappings().one_or_none()
        if row is None:
            return None
        of = {"id": row["id"]}
        counts = [Count(**one) for one in connection.execute(_COUNTS, of).mappings()]
        doubts = [Doubt(**{**one, "band": Band(one["band"])}) for one in connection.execute(_DOUBTS, of).mappings()]
        events = connection.execute(_EVENTS_OF, of).all()
    return Notice(
        **row,
        counts=counts,
        doubts=doubts,
        events=[Event(kind, at, detail) for kind, at, detail, _ in events],
        more=events[0].in_all - len(events) if events else 0,
    )


def _document(wanted: Sequence[Wanted]) -> dict[str, str]:
    return {"wanted": json.dumps([asdict(one) for one in wanted])}
