"""Row counts for Prometheus. The cost of each is bounded: more than `MAX_COUNTED` rows count as `MAX_COUNTED`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database

MAX_COUNTED: Final = 100_000

_ALERTS: Final = text(f"""
SELECT kind, count(*) FROM (SELECT kind FROM alerts WHERE delivered_at IS NULL LIMIT {MAX_COUNTED}) AS a GROUP BY kind
""")  # noqa: S608 - built from constants
# All waiting deliveries, by their partial index; of the finished ones, the newest.
_DELIVERIES: Final = text(f"""
SELECT kind, state, count(*) FROM (
  (SELECT kind, state FROM deliveries WHERE state = 'waiting' LIMIT {MAX_COUNTED}) UNION ALL
  (SELECT kind, state FROM deliveries
   WHERE id > (SELECT coalesce(max(id), 0) - {MAX_COUNTED} FROM deliveries) AND state <> 'waiting')
) AS d GROUP BY kind, state
""")  # noqa: S608
_DEAD_LETTERS: Final = text(f"""
SELECT split_part(lane, ':', 1), count(*) FROM (SELECT lane FROM dead_letters LIMIT {MAX_COUNTED}) AS l GROUP BY 1
""")  # noqa: S608
_DRIFT: Final = text("SELECT made_at, drifted FROM drift_reports ORDER BY id DESC LIMIT 1")


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
    """Read the counts. Raises what Database raises."""
    with database.autocommit() as connection:
        alerts = {row[0]: row[1] for row in connection.execute(_ALERTS)}
        deliveries = {(row[0], row[1]): row[2] for row in connection.execute(_DELIVERIES)}
        dead_letters = {row[0]: row[1] for row in connection.execute(_DEAD_LETTERS)}
        drift = connection.execute(_DRIFT).one_or_none()
    return TableStats(alerts, deliveries, dead_letters, drift and (drift.made_at, drift.drifted))
