"""What Prometheus is told of the tables. Each figure's cost is bounded: more than `MOST` rows count as `MOST`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database

MOST: Final = 100_000

_ALERTS: Final = text(f"""
SELECT kind, count(*) FROM (SELECT kind FROM alerts WHERE delivered_at IS NULL LIMIT {MOST}) AS a GROUP BY kind
""")  # noqa: S608 - built from constants
# What waits is all there, by its own index; of what is settled, the newest.
_DELIVERIES: Final = text(f"""
SELECT kind, state, count(*) FROM (
  (SELECT kind, state FROM deliveries WHERE state = 'waiting' LIMIT {MOST}) UNION ALL
  (SELECT kind, state FROM deliveries
   WHERE id > (SELECT coalesce(max(id), 0) - {MOST} FROM deliveries) AND state <> 'waiting')
) AS d GROUP BY kind, state
""")  # noqa: S608
_LETTERS: Final = text(f"""
SELECT split_part(lane, ':', 1), count(*) FROM (SELECT lane FROM dead_letters LIMIT {MOST}) AS l GROUP BY 1
""")  # noqa: S608
_DRIFT: Final = text("SELECT made_at, drifted FROM drift_reports ORDER BY id DESC LIMIT 1")


@dataclass(frozen=True, slots=True)
class Counts:
    """Alerts that wait, by kind; deliveries by kind and state; kept dead letters by lane, webhooks as one; and the
    newest look for drift with its answer, None where there was none."""

    alerts: Mapping[str, int]
    deliveries: Mapping[tuple[str, str], int]
    letters: Mapping[str, int]
    drift: tuple[datetime, bool] | None


def counts(database: Database) -> Counts:
    """One look. Raises what Database raises."""
    with database.autocommit() as connection:
        alerts = {row[0]: row[1] for row in connection.execute(_ALERTS)}
        deliveries = {(row[0], row[1]): row[2] for row in connection.execute(_DELIVERIES)}
        letters = {row[0]: row[1] for row in connection.execute(_LETTERS)}
        drift = connection.execute(_DRIFT).one_or_none()
    return Counts(alerts, deliveries, letters, drift and (drift.made_at, drift.drifted))
