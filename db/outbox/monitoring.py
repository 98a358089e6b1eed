"""Statistics of recent live tickets (INV-24), the monitor's state between checks, and row counts for Prometheus."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from triagem.db.connect import Database


@dataclass(frozen=True, slots=True)
class LiveStats:
    """Numbers of recent live tickets: classified, unsure among the classified, and dead letters with unread webhooks.

    `p95_s` is the 95th percentile of the time from put to row over `latency_samples` tickets: those that arrived
    while a worker was running.
    """

    tickets: int
    unsure: int
    dead_letters: int
    latency_samples: int = 0
    p95_s: float | None = None


# percentile_disc returns a measured latency, percentile_cont an interpolated one.
_LIVE: Final = """
SELECT count(*) AS tickets, count(*) FILTER (WHERE confidence < :unsure_below) AS unsure,
  (SELECT count(*) FROM dead_letters WHERE lane <> 'bulk' AND died_at >= :since) AS dead_letters,
  count(*) FILTER (WHERE classified_at - make_interval(secs => latency_s) > :worker_since) AS latency_samples,
  percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_s)
    FILTER (WHERE classified_at - make_interval(secs => latency_s) > :worker_since) AS p95_s
FROM predictions WHERE latency_s IS NOT NULL AND classified_at >= :since
"""


def live_stats(
    database: Database,
    *,
    since: datetime,
    last_tickets: int,
    not_before: datetime,
    worker_since: datetime,
    unsure_below: float,
) -> LiveStats:
    """Statistics of live tickets since a time, or of the last ones if there are few.

    Args:
        since: start of the window, if it has `last_tickets` or more.
        last_tickets: otherwise the newest ones are counted, up to this number.
        not_before: none before this time is counted.
        worker_since: since when a worker has been running; tickets that waited for a worker to start say nothing
            about speed.
        unsure_below: a lower confidence counts as unsure.
    """
    # When the oldest of the last live tickets was classified. A separate statement, so that Postgres plans the next
    # one for this value.
    earliest = database.scalars(
        "SELECT classified_at FROM predictions WHERE latency_s IS NOT NULL AND classified_at > :not_before "
        "ORDER BY classified_at DESC OFFSET :last_tickets - 1 LIMIT 1",
        last_tickets=last_tickets,
        not_before=not_before,
    ) or [not_before]
    return LiveStats(
        *database.one(_LIVE, since=min(since, *earliest), worker_since=worker_since, unsure_below=unsure_below)
    )


@dataclass(frozen=True, slots=True)
class MonitorState:
    """State of one alert kind: the time since which it is open, the last checks (`True`: bad), the last bad check."""

    open_since: datetime | None = None
    recent: tuple[bool, ...] = ()
    checked_at: datetime | None = None
    last_bad_at: datetime | None = None


# Only one of two concurrent checks is stored: the other one no longer finds the `checked_at` that it read.
_SAVE: Final = """
WITH saved AS (
  INSERT INTO monitor_states AS s (kind, open_since, recent, checked_at, last_bad_at)
  VALUES (:kind, :open_since, :recent, :checked_at, :last_bad_at)
  ON CONFLICT (kind) DO UPDATE SET open_since = excluded.open_since, recent = excluded.recent,
    checked_at = excluded.checked_at, last_bad_at = excluded.last_bad_at
  WHERE s.checked_at = CAST(:previously_checked_at AS timestamptz)
  RETURNING kind
)
INSERT INTO alerts (kind, key, detail) SELECT kind, :key, CAST(:detail AS jsonb) FROM saved
WHERE CAST(:key AS text) IS NOT NULL ON CONFLICT (kind, key) DO NOTHING
"""


def monitor_states(database: Database) -> dict[str, MonitorState]:
    """The saved states by kind."""
    return {
        kind: MonitorState(since, tuple(recent), checked_at, last_bad_at)
        for kind, since, recent, checked_at, last_bad_at in database.rows(
            "SELECT kind, open_since, recent, checked_at, last_bad_at FROM monitor_states"
        )
    }


def save_monitor_state(
    database: Database,
    kind: str,
    previous: MonitorState,
    new: MonitorState,
    *,
    key: str | None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Save the state after a check and, if `key` is given, raise an alert in the same statement."""
    database.execute(
        _SAVE, kind=kind, open_since=new.open_since, recent=list(new.recent), checked_at=new.checked_at,
        last_bad_at=new.last_bad_at, previously_checked_at=previous.checked_at, key=key,
        detail=detail and json.dumps(dict(detail)),
    )  # fmt: skip


def worker_up_since(state: MonitorState | None, window: timedelta, now: datetime) -> datetime:
    """The start of the window, or the last check without a worker if later. `state`: that of `no-worker`."""
    return max(now - window, state.last_bad_at if state and state.last_bad_at else now - window)


# Bounds the cost of each count: more rows count as this number.
MAX_COUNTED: Final = 100_000
_ALERTS: Final = """
SELECT kind, count(*) FROM (SELECT kind FROM alerts WHERE delivered_at IS NULL LIMIT :max) AS a GROUP BY kind
"""
# Partial indexes find all waiting and failed deliveries; of the other states, only the newest rows are counted.
_DELIVERIES: Final = """
SELECT kind, state, count(*) FROM (
  (SELECT kind, state FROM deliveries WHERE state = 'waiting' LIMIT :max) UNION ALL
  (SELECT kind, state FROM deliveries WHERE state = 'failed' LIMIT :max) UNION ALL
  (SELECT kind, state FROM deliveries
   WHERE id > (SELECT coalesce(max(id), 0) - :max FROM deliveries) AND state NOT IN ('waiting', 'failed'))
) AS d GROUP BY kind, state
"""
_DEAD_LETTERS: Final = """
SELECT split_part(lane, ':', 1), count(*) FROM (SELECT lane FROM dead_letters LIMIT :max) AS l GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class TableStats:
    """Undelivered alerts by kind, deliveries by kind and state, and dead letters by lane (all webhooks as one lane).

    `drift`: time and result of the newest drift report, None without one.
    """

    alerts: Mapping[str, int]
    deliveries: Mapping[tuple[str, str], int]
    dead_letters: Mapping[str, int]
    drift: tuple[datetime, bool] | None


def table_stats(database: Database) -> TableStats:
    """Read the counts. Raises the errors of `Database`."""
    drift = database.one_or_none("SELECT made_at, drifted FROM drift_reports ORDER BY id DESC LIMIT 1")
    return TableStats(
        alerts=dict(database.rows(_ALERTS, max=MAX_COUNTED)),
        deliveries={(kind, state): count for kind, state, count in database.rows(_DELIVERIES, max=MAX_COUNTED)},
        dead_letters=dict(database.rows(_DEAD_LETTERS, max=MAX_COUNTED)),
        drift=drift and (drift.made_at, drift.drifted),
    )
