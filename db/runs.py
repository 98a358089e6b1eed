"""Reclassification runs: start, progress, pause, resume, cancel, finish. At most one run is active."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import text

from triagem.contracts.errors import InvalidInput
from triagem.db.connect import Database, database_errors

CLASSIFY: Final = "classify"
APPLY: Final = "apply"
RUN_ENDED: Final = "run-ended"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The settings of a run.

    Args:
        version: the model version that classifies, or whose stored predictions are applied.
        epoch: the current epoch, by which the results are ordered (INV-14).
        shadow: write results to the history only.
        force: classify again where the version already has a prediction.
        notify_flips: send tickets whose label the run changes to CRMs that subscribe to results.
        filters: which tickets; see `triagem.db.run_pages.CONDITIONS`.
        max_tickets: upper limit on the number of tickets.
        pause_hour: the time of day at which the run pauses, `HH:MM`.
        pause_at: the next time at which it pauses.
    """

    version: str
    epoch: int
    kind: str = CLASSIFY
    shadow: bool = False
    force: bool = False
    notify_flips: bool = False
    filters: Mapping[str, Any] = field(default_factory=dict)
    max_tickets: int | None = None
    pause_hour: str | None = None
    pause_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReclassifyRun:
    """A row of `reclassify_runs`; `triagem.db.run_tables.ReclassifyRunRow` describes the columns."""

    id: int
    kind: str
    state: str
    reason: str
    version: str
    epoch: int
    shadow: bool
    force: bool
    notify_flips: bool
    filters: Mapping[str, Any]
    max_tickets: int | None
    pause_hour: str | None
    pause_at: datetime | None
    first_id: int
    last_id: int
    cursor: int
    put: int
    done: int
    unchanged: int
    changed: int
    gone: int
    failed: int
    flips: int
    rate: float
    started_at: datetime
    finished_at: datetime | None

    @property
    def active(self) -> bool:
        """Running or paused."""
        return self.state in {"running", "paused"}

    @property
    def processed(self) -> int:
        """Tickets with an outcome."""
        return self.done + self.unchanged + self.changed + self.gone + self.failed

    @property
    def expected(self) -> int:
        """Estimated total of tickets; exact once all are put on the lane."""
        scanned, ids = self.cursor - self.first_id + 1, self.last_id - self.first_id + 1
        total = self.put if scanned >= ids or scanned <= 0 else round(self.put * ids / scanned)
        return total if self.max_tickets is None else min(total, self.max_tickets)

    @property
    def remaining_s(self) -> float | None:
        """Estimated remaining time at the measured rate; None without a rate."""
        if not self.active or not self.rate:
            return None
        return max(0, self.expected - self.processed) / self.rate


RUN_COLUMNS: Final = ", ".join(column.name for column in fields(ReclassifyRun))
_PROCESSED: Final = "(done + unchanged + changed + gone + failed)"
_START: Final = text(f"""
INSERT INTO reclassify_runs (kind, state, version, epoch, shadow, force, notify_flips, filters, max_tickets,
  pause_hour, pause_at, first_id, last_id, cursor, measured_at)
SELECT :kind, 'running', :version, :epoch, :shadow, :force, :notify_flips, CAST(:filters AS jsonb), :max_tickets,
  :pause_hour, :pause_at, coalesce(min(id), 1), coalesce(max(id), 0), coalesce(min(id), 1) - 1, now()
FROM tickets
ON CONFLICT DO NOTHING RETURNING {RUN_COLUMNS}
""")  # noqa: S608 - built from constants; values travel as parameters
_BOUNDS: Final = text("SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM tickets")
_FIND: Final = text(f"""
SELECT {RUN_COLUMNS} FROM reclassify_runs WHERE CAST(:id AS bigint) IS NULL OR id = :id ORDER BY id DESC LIMIT 1
""")  # noqa: S608
_ACTIVE: Final = text(f"SELECT {RUN_COLUMNS} FROM reclassify_runs WHERE state IN ('running', 'paused')")  # noqa: S608
_SET_STATE: Final = """
UPDATE reclassify_runs SET state = :state, reason = :reason, measured_at = now(),
  measured_count = {processed}{also_set}
WHERE id = :id AND state {allowed}
"""
_PAUSE: Final = text(_SET_STATE.format(processed=_PROCESSED, also_set="", allowed="= 'running'"))
_RESUME: Final = text(
    _SET_STATE.format(processed=_PROCESSED, also_set=", pause_at = :pause_at", allowed="= 'paused'")
)
_CANCEL: Final = text(
    _SET_STATE.format(processed=_PROCESSED, also_set=", finished_at = now()", allowed="IN ('running', 'paused')")
)
_SET_REASON: Final = text(
    "UPDATE reclassify_runs SET reason = :reason WHERE id = :id AND state = 'running' AND reason <> :reason"
)
# A moving average over the tickets processed by all workers; measured at most once a second.
_UPDATE_RATE: Final = text(f"""
UPDATE reclassify_runs SET measured_count = {_PROCESSED}, measured_at = now(),
  rate = CASE WHEN rate = 0 THEN 1 ELSE 0.5 END
    * ({_PROCESSED} - measured_count) / extract(epoch FROM now() - measured_at) + 0.5 * rate
WHERE id = :id AND state = 'running' AND measured_at < now() - interval '1 second'
""")  # noqa: S608
# One summary alert per run (INV-24), in the statement that finishes it.
_FINISH: Final = text(f"""
WITH finished AS (
  UPDATE reclassify_runs SET state = 'done', finished_at = now()
  WHERE id = :id AND state = 'running' AND cursor >= last_id AND put <= {_PROCESSED} RETURNING *
)
INSERT INTO alerts (kind, key, detail)
SELECT '{RUN_ENDED}', 'run ' || id, jsonb_build_object(
  'run', id, 'kind', kind, 'version', version, 'shadow', shadow, 'done', done, 'unchanged', unchanged,
  'changed', changed, 'gone', gone, 'failed', failed, 'flips', flips,
  'summary', format('%s %s: %s of %s tickets changed their label', kind, version, flips, put)
) FROM finished WHERE put > 0 ON CONFLICT DO NOTHING
""")  # noqa: S608


def start(database: Database, plan: RunPlan) -> ReclassifyRun:
    """Start a run over all tickets stored until now. Raises InvalidInput while another run is active."""
    values = {**_values(plan), "filters": json.dumps(dict(plan.filters))}
    with database.autocommit() as connection:
        row = connection.execute(_START, values).mappings().one_or_none()
    if row is None:
        raise InvalidInput(
            "a run is active: `triagem reclassify status` shows it, `triagem reclassify cancel` cancels it"
        )
    return ReclassifyRun(**row)


def preview(database: Database, plan: RunPlan) -> ReclassifyRun:
    """The run that `start` would create, not stored."""
    with database.autocommit() as connection:
        first, last = connection.execute(_BOUNDS).one()
    counts: dict[str, Any] = dict.fromkeys(("put", "done", "unchanged", "changed", "gone", "failed", "flips"), 0)
    return ReclassifyRun(
        id=1, state="running", reason="", first_id=first, last_id=last, cursor=first - 1, rate=0.0,
        started_at=datetime.now(UTC), finished_at=None, **counts, **_values(plan),
    )  # fmt: skip


def find(database: Database, run_id: int | None = None) -> ReclassifyRun | None:
    """The run with this id, by default the newest; None if there is none."""
    with database.autocommit() as connection:
        row = connection.execute(_FIND, {"id": run_id}).mappings().one_or_none()
    return None if row is None else ReclassifyRun(**row)


def find_active(database: Database) -> ReclassifyRun | None:
    """The run that is running or paused, if any."""
    with database.autocommit() as connection:
        row = connection.execute(_ACTIVE).mappings().one_or_none()
    return None if row is None else ReclassifyRun(**row)


def pause(database: Database, run_id: int, reason: str = "") -> bool:
    """Put no more of its tickets on the lane; False if it was not running."""
    return _updated(database, _PAUSE, {"id": run_id, "state": "paused", "reason": reason})


def resume(database: Database, run_id: int, *, pause_at: datetime | None = None) -> bool:
    """Continue from the cursor until `pause_at`; False if it was not paused."""
    return _updated(database, _RESUME, {"id": run_id, "state": "running", "reason": "", "pause_at": pause_at})


def cancel(database: Database, run_id: int, reason: str = "") -> bool:
    """Cancel it: workers acknowledge its remaining entries without classifying them. False if it had ended."""
    return _updated(database, _CANCEL, {"id": run_id, "state": "cancelled", "reason": reason})


def set_reason(database: Database, run_id: int, reason: str) -> None:
    """Store why a running run makes no progress; empty when it does."""
    _updated(database, _SET_REASON, {"id": run_id, "reason": reason})


def update_rate(database: Database, run_id: int) -> None:
    """Measure at what rate its tickets are processed."""
    _updated(database, _UPDATE_RATE, {"id": run_id})


def finish_if_done(database: Database, run_id: int) -> None:
    """Mark it done if all tickets were put on the lane and each has an outcome: by counting, not by time."""
    _updated(database, _FINISH, {"id": run_id})


@contextmanager
def sweep_lock(database: Database) -> Iterator[bool]:
    """Yields whether the caller holds the lock on advancing runs. Never waits; the lock ends with the process.

    An advisory lock, not one on the run's row: workers update the counters in that row.
    """
    with database_errors(), database.engine.connect() as connection, connection.begin():
        yield connection.execute(
            text("SELECT pg_try_advisory_xact_lock(hashtext('triagem reclassify'))")
        ).scalar_one()


def _updated(database: Database, statement: Any, values: Mapping[str, Any]) -> bool:
    with database.autocommit() as connection:
        return connection.execute(statement, values).rowcount > 0


def _values(plan: RunPlan) -> dict[str, Any]:
    return {setting.name: getattr(plan, setting.name) for setting in fields(plan)}
