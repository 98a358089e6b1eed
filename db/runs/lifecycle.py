"""Reclassification runs: start, progress, pause, resume, cancel, finish. At most one run is active."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import text

from triagem.contracts.errors import InvalidInput
from triagem.db.audit import SCHEDULE, Actor
from triagem.db.connect import Database, database_errors
from triagem.db.model_versions import recorded

CLASSIFY: Final = "classify"
APPLY: Final = "apply"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The settings of a run.

    Args:
        version: the model version that classifies, or whose stored predictions are applied.
        epoch: the current epoch, by which the results are ordered (INV-14).
        shadow: write results to the history only.
        force: also classify texts for which the version already has a prediction.
        notify_flips: send tickets whose label the run changes to CRMs that subscribe to results.
        filters: which tickets; see `triagem.db.runs.pages.CONDITIONS`.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclassifyRun(RunPlan):
    """One run: its plan, progress and counts of its tickets by outcome.

    Of the tickets `first_id`..`last_id`, those up to `cursor` are recorded, and those up to `enqueued` were put on
    the bulk lane. `put`: recorded. Outcomes: `done` (classified), `unchanged` (the version already had a prediction),
    `changed` (the ticket has another text now), `gone` (it has no text), `failed` (a dead letter).
    `rate`: tickets per second.
    """

    id: int
    state: str
    reason: str
    first_id: int
    last_id: int
    cursor: int
    enqueued: int
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
        """Estimated total of tickets; exact once all are recorded."""
        scanned, ids = self.cursor - self.first_id + 1, self.last_id - self.first_id + 1
        total = self.put if scanned >= ids or scanned <= 0 else round(self.put * ids / scanned)
        return total if self.max_tickets is None else min(total, self.max_tickets)

    @property
    def remaining_s(self) -> float | None:
        """Estimated remaining time at the measured rate; None without a rate."""
        if not self.active or not self.rate:
            return None
        return max(0, self.expected - self.processed) / self.rate


_COLUMNS: Final = ", ".join(column.name for column in fields(ReclassifyRun))
_PROCESSED: Final = "done + unchanged + changed + gone + failed"
_START: Final = text(f"""
WITH run AS (
  INSERT INTO reclassify_runs (kind, state, version, epoch, shadow, force, notify_flips, filters, max_tickets,
    pause_hour, pause_at, first_id, last_id, cursor, enqueued, measured_at)
  SELECT :kind, 'running', :version, :epoch, :shadow, :force, :notify_flips, CAST(:filters AS jsonb), :max_tickets,
    :pause_hour, :pause_at, coalesce(min(id), 1), coalesce(max(id), 0), coalesce(min(id), 1) - 1,
    coalesce(min(id), 1) - 1, now()
  FROM tickets
  ON CONFLICT DO NOTHING
  RETURNING {_COLUMNS}
), entry AS (
  INSERT INTO audit (actor, address, action, object, outcome)
  SELECT :actor, :address, 'run.start', 'run ' || id, CASE WHEN shadow THEN 'shadow of ' ELSE '' END || version
  FROM run
)
SELECT {_COLUMNS} FROM run
""")  # noqa: S608 - built from the constants above, as below
_NEWEST: Final = text(f"""
SELECT {_COLUMNS} FROM reclassify_runs
WHERE (CAST(:id AS bigint) IS NULL OR id = :id) AND (NOT :active OR state IN ('running', 'paused'))
  AND (NOT :with_tickets OR put > 0 OR state IN ('running', 'paused'))
ORDER BY id DESC LIMIT :limit
""")  # noqa: S608
_PAUSE: Final = text(f"""
UPDATE reclassify_runs SET state = 'paused', reason = :reason, measured_at = now(),
  measured_count = {_PROCESSED}
WHERE id = :id AND state = 'running'
""")  # noqa: S608
_RESUME: Final = text(f"""
UPDATE reclassify_runs SET state = 'running', reason = '', measured_at = now(),
  measured_count = {_PROCESSED}, pause_at = :pause_at
WHERE id = :id AND state = 'paused'
""")  # noqa: S608
_CANCEL: Final = text(f"""
WITH run AS (
  UPDATE reclassify_runs SET state = 'cancelled', reason = :reason, measured_at = now(),
    measured_count = {_PROCESSED}, finished_at = now()
  WHERE id = :id AND state IN ('running', 'paused')
  RETURNING id
), entry AS (
  INSERT INTO audit (actor, address, action, object, outcome)
  SELECT :actor, :address, 'run.cancel', 'run ' || id, coalesce(nullif(:reason, ''), 'done') FROM run
)
SELECT id FROM run
""")  # noqa: S608
# A moving average over the tickets processed by all workers; measured at most once a second.
_UPDATE_RATE: Final = text(f"""
UPDATE reclassify_runs SET measured_count = {_PROCESSED}, measured_at = now(),
  rate = CASE WHEN rate = 0 THEN 1 ELSE 0.5 END * ({_PROCESSED} - measured_count)
    / extract(epoch FROM now() - measured_at) + 0.5 * rate
WHERE id = :id AND state = 'running' AND measured_at < now() - interval '1 second'
""")  # noqa: S608
# Enqueues the references without an outcome again, in case Redis has lost them.
_REWIND: Final = text("""
UPDATE reclassify_runs SET enqueued = lost.first - 1
FROM (SELECT min(ticket_id) AS first FROM run_changes WHERE run_id = :id AND outcome = 'queued') AS lost
WHERE id = :id AND state = 'running' AND lost.first IS NOT NULL
""")
# One summary alert per run (INV-24), in the statement that finishes it. The final counts are computed from the run's
# rows; a forgotten ticket has no row.
_FINISH: Final = text("""
WITH rows AS (
  SELECT count(*) AS put, count(*) FILTER (WHERE outcome = 'queued') AS queued,
    count(*) FILTER (WHERE outcome = 'done') AS done, count(*) FILTER (WHERE outcome = 'unchanged') AS unchanged,
    count(*) FILTER (WHERE outcome = 'changed') AS changed, count(*) FILTER (WHERE outcome = 'gone') AS gone,
    count(*) FILTER (WHERE outcome = 'failed') AS failed,
    count(*) FILTER (WHERE before_label <> after_label) AS flips
  FROM run_changes WHERE run_id = :id
), finished AS (
  UPDATE reclassify_runs r SET state = 'done', reason = '', finished_at = now(), put = rows.put, done = rows.done,
    unchanged = rows.unchanged, changed = rows.changed, gone = rows.gone, failed = rows.failed, flips = rows.flips
  FROM rows WHERE id = :id AND state = 'running' AND cursor >= last_id AND queued = 0
  RETURNING r.*
)
INSERT INTO alerts (kind, key, detail)
SELECT 'run-ended', 'run ' || id, jsonb_build_object(
  'run', id, 'kind', kind, 'version', version, 'shadow', shadow, 'done', done, 'unchanged', unchanged,
  'changed', changed, 'gone', gone, 'failed', failed, 'flips', flips,
  'summary', format('%srun %s, version %s: %s tickets, %s with another label than before',
    CASE WHEN shadow THEN 'shadow ' END, id, version, to_char(put, 'FM999,999,999,990'),
    to_char(flips, 'FM999,999,999,990'))
) FROM finished WHERE put > 0 ON CONFLICT DO NOTHING
""")


def start(database: Database, plan: RunPlan, actor: Actor = SCHEDULE) -> ReclassifyRun:
    """Start a run over all tickets stored until now, and add it to the audit trail.

    Raises:
        InvalidInput: another run is active; or the registry is older than the stored results, so the run could not
            change them.
    """
    _, recorded_epoch = recorded(database)
    if plan.epoch < recorded_epoch and not plan.shadow:
        raise InvalidInput(
            f"the registry's epoch {plan.epoch} is older than {recorded_epoch}, the last one recorded: restore a "
            "newer copy of the registry, or promote until its epoch is higher"
        )
    row = database.one_or_none(_START, **_values(plan), **_actor(actor))
    if row is None:
        raise InvalidInput(
            "a run is active: `triagem reclassify status` shows it, `triagem reclassify cancel` cancels it"
        )
    return ReclassifyRun(**row._asdict())


def preview(database: Database, plan: RunPlan) -> ReclassifyRun:
    """The run that `start` would create, without storing it."""
    first, last = database.one("SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM tickets")
    counts: dict[str, Any] = dict.fromkeys(("put", "done", "unchanged", "changed", "gone", "failed", "flips"), 0)
    return ReclassifyRun(
        id=1, state="running", reason="", first_id=first, last_id=last, cursor=first - 1,
        enqueued=first - 1, rate=0.0,
        started_at=datetime.now(UTC), finished_at=None, **counts, **_values(plan) | {"filters": plan.filters},
    )  # fmt: skip


def find(database: Database, run_id: int | None = None) -> ReclassifyRun | None:
    """The run with this id, by default the newest; None if there is none."""
    return next(iter(newest_runs(database, run_id=run_id)), None)


def find_active(database: Database) -> ReclassifyRun | None:
    """The run that is running or paused, if any."""
    return next(iter(newest_runs(database, active=True)), None)


def newest_runs(
    database: Database, *, limit: int = 1, run_id: int | None = None, active: bool = False, with_tickets: bool = False
) -> list[ReclassifyRun]:
    """The newest runs: all, the one with this id, or an active one.

    `with_tickets` leaves out runs that found nothing to do, as most nightly runs after a promotion.
    """
    rows = database.rows(_NEWEST, id=run_id, active=active, with_tickets=with_tickets, limit=limit)
    return [ReclassifyRun(**row._asdict()) for row in rows]


def pause(database: Database, run_id: int, reason: str = "") -> bool:
    """Pause a run: no more of its tickets are put on the lane. False if it was not running."""
    return database.execute(_PAUSE, id=run_id, reason=reason) > 0


def resume(database: Database, run_id: int, *, pause_at: datetime | None = None) -> bool:
    """Resume a run from its cursor until `pause_at`; False if it was not paused."""
    return database.execute(_RESUME, id=run_id, pause_at=pause_at) > 0


def cancel(
    database: Database,
    run_id: int,
    reason: str = "",
    *,
    successor: RunPlan | None = None,
    actor: Actor = SCHEDULE,
) -> bool:
    """Cancel a run: workers acknowledge its remaining entries without classifying them. False if it had ended.

    A successor starts in the same transaction. Both are added to the audit trail.
    """
    with database_errors(), database.engine.connect() as connection, connection.begin():
        values = {"id": run_id, "reason": reason} | _actor(actor)
        cancelled = connection.execute(_CANCEL, values).one_or_none() is not None
        if cancelled and successor:
            connection.execute(_START, _values(successor) | _actor(actor))
    return cancelled


def update_rate(database: Database, run_id: int) -> None:
    """Measure the rate at which a run's tickets are processed."""
    database.execute(_UPDATE_RATE, id=run_id)


def report_waiting(database: Database, run_id: int, reason: str) -> None:
    """Record why no ticket of a run can be enqueued now. The reason is removed when one is enqueued."""
    database.execute(
        "UPDATE reclassify_runs SET reason = :reason WHERE id = :id AND state = 'running'", id=run_id, reason=reason
    )


def enqueue_lost(database: Database, run_id: int) -> bool:
    """Enqueue a run's tickets without an outcome again; False if there are none. None of them may be on the lane."""
    return database.execute(_REWIND, id=run_id) > 0


def finish_if_done(database: Database, run_id: int) -> None:
    """Mark a run as done if all its tickets are recorded and each has an outcome. Counts decide this, not time."""
    database.execute(_FINISH, id=run_id)


def _values(plan: RunPlan) -> dict[str, Any]:
    values = {setting.name: getattr(plan, setting.name) for setting in fields(plan)}
    return values | {"filters": json.dumps(dict(plan.filters))}


def _actor(actor: Actor) -> dict[str, str]:
    return {"actor": actor.name, "address": actor.address}
