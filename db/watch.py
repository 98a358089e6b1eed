"""What window alerts look at, and what they remember from one look to the next. Live tickets only (INV-24)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from triagem.db.connect import Database


@dataclass(frozen=True, slots=True)
class Live:
    """The live tickets of a window: how many were classified, how many of them under the threshold, how many became
    dead letters; and of `timed` ones, those that came while a worker was up, the 95th percentile from put to row."""

    tickets: int
    unsure: int
    dead: int
    timed: int = 0
    p95_s: float | None = None


# percentile_disc: a figure that a ticket really had.
_LIVE: Final = text("""
SELECT count(*) AS tickets, count(*) FILTER (WHERE confidence < :under) AS unsure,
  (SELECT count(*) FROM dead_letters WHERE lane = 'live' AND died_at > :since) AS dead,
  count(*) FILTER (WHERE classified_at - make_interval(secs => waited_s) > :worker_since) AS timed,
  percentile_disc(0.95) WITHIN GROUP (ORDER BY waited_s)
    FILTER (WHERE classified_at - make_interval(secs => waited_s) > :worker_since) AS p95_s
FROM predictions WHERE waited_s IS NOT NULL AND classified_at > :since
""")


def live(database: Database, *, since: datetime, worker_since: datetime, under: float) -> Live:
    """What became of the live tickets since a time.

    Args:
        worker_since: since when a worker has been up: what waited for one says nothing about its speed.
        under: the confidence that counts as unsure.
    """
    values = {"since": since, "worker_since": worker_since, "under": under}
    with database.autocommit() as connection:
        return Live(**connection.execute(_LIVE, values).mappings().one())


@dataclass(frozen=True, slots=True)
class Watch:
    """What is remembered of one kind: since when it is open, the last looks (`True`: bad), when it last was bad."""

    open_since: datetime | None = None
    recent: tuple[bool, ...] = ()
    looked_at: datetime | None = None
    bad_at: datetime | None = None


_ALL: Final = text("SELECT kind, open_since, recent, looked_at, bad_at FROM watches")
# Of two who looked at once one is counted: the other finds another time than it has read.
_NOTE: Final = text("""
WITH noted AS (
  INSERT INTO watches AS w (kind, open_since, recent, looked_at, bad_at)
  VALUES (:kind, :open_since, :recent, :looked_at, :bad_at)
  ON CONFLICT (kind) DO UPDATE SET open_since = excluded.open_since, recent = excluded.recent,
    looked_at = excluded.looked_at, bad_at = excluded.bad_at
  WHERE w.looked_at = CAST(:was AS timestamptz)
  RETURNING kind
)
INSERT INTO alerts (kind, key, detail) SELECT kind, :key, CAST(:detail AS jsonb) FROM noted
WHERE CAST(:key AS text) IS NOT NULL ON CONFLICT (kind, key) DO NOTHING
""")


def watches(database: Database) -> dict[str, Watch]:
    """What is remembered, by kind."""
    with database.autocommit() as connection:
        rows = connection.execute(_ALL).all()
    return {kind: Watch(since, tuple(recent), looked, bad) for kind, since, recent, looked, bad in rows}


def note(
    database: Database, kind: str, was: Watch, now: Watch, *, key: str | None, detail: Mapping[str, Any] | None = None
) -> None:
    """Remember a look, and in the same statement raise its alert, if it has a key."""
    values = {
        "kind": kind,
        "open_since": now.open_since,
        "recent": list(now.recent),
        "looked_at": now.looked_at,
        "bad_at": now.bad_at,
        "was": was.looked_at,
        "key": key,
        "detail": detail and json.dumps(dict(detail)),
    }
    with database.autocommit() as connection:
        connection.execute(_NOTE, values)


def since_a_worker(watch: Watch | None, window: timedelta, now: datetime) -> datetime:
    """Since when a worker has been up, as far as the window goes."""
    return max(now - window, watch.bad_at if watch and watch.bad_at else now - window)
