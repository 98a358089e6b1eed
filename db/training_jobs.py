"""Training jobs: requested by console, commands and ops, run by `triagem trainer`. At most one of a kind is active.

The table is the state of record. A trainer holds a job by a lease, which it renews; a job whose lease has expired is
taken over. One job runs at a time, however many trainers there are: an index allows one running row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Row

from triagem.contracts.errors import RowRefused
from triagem.db.audit import Action, Actor
from triagem.db.connect import Database


class JobKind(StrEnum):
    """The work of a job: embed the stored texts, train a head on frozen embeddings, fine-tune the whole model, or
    rate an uploaded export."""

    EMBED = "embed"
    HEAD = "head"
    FULL = "full"
    PREFLIGHT = "preflight"


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One job: its request, its progress, and its outcome.

    `stage` is the step that it is in, `fraction` how much of it is done, 0 to 1. The stage of a finished job is its
    outcome: `promoted`, `proposed` or `rejected`. `attempts` counts how often a trainer took it. `version` is the
    registered version, `error` a one-line diagnosis; of a rejected version the gate's reasons, a line each.
    """

    id: int
    kind: JobKind
    parameters: Mapping[str, Any]
    state: str
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None
    attempts: int
    stage: str
    fraction: float
    version: str | None
    error: str | None

    @property
    def active(self) -> bool:
        """Queued or running."""
        return self.state in {"queued", "running"}

    @property
    def rejected(self) -> bool:
        """Done, and the gate has rejected its version."""
        return (self.state, self.stage) == ("done", "rejected")


_COLUMNS: Final = (
    "id, kind, parameters, state, requested_by, requested_at, started_at, heartbeat_at, finished_at, attempts, stage,"
    " fraction, version, error"
)
# In the statement of the change, so that a process killed here leaves both or neither. Without a name, the actor is
# the job itself.
_AUDITED: Final = """
INSERT INTO audit (actor, address, action, object, outcome)
SELECT coalesce(nullif(CAST(:actor AS text), ''), object), :address, :action, object, :audited
FROM job, LATERAL (SELECT CASE kind WHEN 'preflight' THEN 'pre-flight ' ELSE 'training ' END || id AS object) AS named
WHERE kind <> 'embed'
"""
_REQUEST: Final = f"""
WITH job AS (
  INSERT INTO training_jobs (kind, parameters, requested_by)
  VALUES (:kind, CAST(:parameters AS jsonb), :requested_by)
  ON CONFLICT DO NOTHING RETURNING {_COLUMNS}
), entry AS ({_AUDITED})
SELECT {_COLUMNS} FROM job
"""  # noqa: S608 - built from the constants above, as all below
_FIND: Final = f"""
SELECT {_COLUMNS} FROM training_jobs
WHERE (CAST(:id AS bigint) IS NULL OR id = :id) AND (CAST(:kind AS text) IS NULL OR kind = :kind)
  AND (NOT :active OR state IN ('queued', 'running'))
ORDER BY id DESC LIMIT :limit
"""  # noqa: S608
_WITH_OUTCOME: Final = f"""
SELECT {_COLUMNS} FROM training_jobs WHERE stage = ANY(:outcomes) AND state = 'done' ORDER BY id DESC LIMIT 1
"""  # noqa: S608
_CANCEL: Final = """
UPDATE training_jobs SET state = 'cancelled', finished_at = now() WHERE id = :id AND state IN ('queued', 'running')
"""
# Takes an abandoned job first: while its row says `running`, no other job can run. Takes full trainings last: they
# take hours, other jobs seconds.
_CLAIM: Final = f"""
UPDATE training_jobs SET state = 'running', trainer = :trainer, heartbeat_at = now(), attempts = attempts + 1,
  started_at = coalesce(started_at, now())
WHERE id = (
  SELECT id FROM training_jobs
  WHERE state = 'queued' OR (state = 'running' AND heartbeat_at < now() - make_interval(secs => :lease_s))
  ORDER BY state = 'queued', kind = 'full', id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {_COLUMNS}
"""  # noqa: S608
_HELD: Final = "WHERE id = :id AND state = 'running' AND trainer = :trainer"
_RENEW: Final = f"UPDATE training_jobs SET heartbeat_at = now() {_HELD}"  # noqa: S608
_REPORT: Final = f"UPDATE training_jobs SET stage = :stage, fraction = :fraction {_HELD}"  # noqa: S608
_RELEASE: Final = f"""
UPDATE training_jobs SET state = 'queued', trainer = NULL, attempts = attempts - CAST(:interrupted AS int) {_HELD}
"""  # noqa: S608
_SUMMARIES: Final = {
    "promoted": "{version} is the current version now; to undo: `triagem models rollback`",
    "proposed": "{version} passed the gate and waits for a person: `triagem models promote {version}`",
    "rejected": "the gate rejected {version}: `triagem models compare {version}` shows why",
    "failed": "training {training} failed: `triagem jobs show {training}` shows why",
}
# Not of a version after ten answers: the person who answers sees it.
_FINISH: Final = f"""
WITH job AS (
  UPDATE training_jobs SET state = :state, stage = coalesce(CAST(:stage AS text), stage), version = :version,
    error = :error, finished_at = now() {_HELD}
  RETURNING id, kind
), entry AS ({_AUDITED}), alert AS (
  INSERT INTO alerts (kind, key, detail)
  SELECT 'training-ended', 'training ' || id, CAST(:detail AS jsonb) FROM job WHERE kind = 'full'
  ON CONFLICT DO NOTHING
)
SELECT id FROM job
"""  # noqa: S608
_WAITING: Final = """
SELECT coalesce(min(id), 0) FROM training_jobs
WHERE state = 'queued' AND requested_at < now() - interval '1 minute'
  AND NOT EXISTS (SELECT FROM training_jobs WHERE state = 'running')
"""


def request(
    database: Database,
    kind: JobKind,
    *,
    requested_by: str,
    parameters: Mapping[str, Any] | None = None,
    actor: Actor | None = None,
) -> tuple[TrainingJob, bool]:
    """Request a job; returns it, and whether it is new. While a job of the kind is active, returns that one.

    A new training is added to the audit trail, by `actor` or, without one, by `requested_by`.
    """
    values = {"kind": kind, "requested_by": requested_by, "parameters": to_json(dict(parameters or {})).decode()}
    values |= _audited(actor or Actor(requested_by), "training.request", "done")
    while True:
        row = database.one_or_none(_REQUEST, **values)
        if row is not None:
            return _job(row), True
        if active := find_active(database, kind):  # if there is none, the job has ended meanwhile
            return active, False


def find(database: Database, job_id: int) -> TrainingJob | None:
    """The job with this id, if there is one."""
    return next(iter(newest_jobs(database, job_id=job_id)), None)


def find_active(database: Database, kind: JobKind) -> TrainingJob | None:
    """The queued or running job of a kind, if any."""
    return next(iter(newest_jobs(database, kind=kind, active=True)), None)


def waiting_job(database: Database) -> int:
    """The id of a job that has been queued for over a minute although no job runs; 0 if there is none."""
    return int(database.scalar_one(_WAITING))


def newest_jobs(
    database: Database,
    *,
    limit: int = 1,
    kind: JobKind | None = None,
    job_id: int | None = None,
    active: bool = False,
) -> list[TrainingJob]:
    """The newest jobs: all, those of one kind, the one with this id, or active ones."""
    return [_job(row) for row in database.rows(_FIND, id=job_id, kind=kind, active=active, limit=limit)]


def newest_job(database: Database, kind: JobKind) -> TrainingJob | None:
    """The newest job of a kind, if there was one."""
    return next(iter(newest_jobs(database, kind=kind)), None)


def newest_with_outcome(database: Database, *outcomes: str) -> TrainingJob | None:
    """The newest training that ended with one of these outcomes; a person may have promoted its version since."""
    return next(map(_job, database.rows(_WITH_OUTCOME, outcomes=list(outcomes))), None)


def cancel(database: Database, job_id: int) -> bool:
    """Cancel a job; a running one is ended by its trainer within seconds. False if it is not active."""
    return database.execute(_CANCEL, id=job_id) > 0


def claim(database: Database, trainer: str, *, lease_s: float) -> TrainingJob | None:
    """Take a job whose trainer has not renewed its lease for `lease_s`, else a queued one.

    None if no job waits, or if another trainer runs one.
    """
    try:
        return next(map(_job, database.rows(_CLAIM, trainer=trainer, lease_s=lease_s)), None)
    except RowRefused:  # the index: another job is running
        return None


def renew(database: Database, job_id: int, trainer: str) -> bool:
    """Extend the lease. False if the job is no longer the trainer's: it was cancelled, or taken over."""
    return _update(database, _RENEW, job_id, trainer)


def report(database: Database, job_id: int, trainer: str, stage: str, fraction: float) -> bool:
    """Record the progress. False as in `renew`."""
    return _update(database, _REPORT, job_id, trainer, stage=stage, fraction=fraction)


def release(database: Database, job_id: int, trainer: str, *, interrupted: bool = False) -> bool:
    """Put the job back into the queue. An `interrupted` attempt, by a trainer that stops, does not count."""
    return _update(database, _RELEASE, job_id, trainer, interrupted=interrupted)


def finish(
    database: Database,
    job_id: int,
    trainer: str,
    version: str | None,
    outcome: str | None = None,
    *,
    error: str | None = None,
) -> bool:
    """Record that the job is done, the version that it registered, and its outcome as the stage. `error`: the gate's
    reasons for a rejection. False as in `renew`. The end of a training is added to the audit trail, and that of a
    full one raises an alert."""
    audited = " ".join(filter(None, (outcome or "done", version)))
    values = {"state": "done", "stage": outcome, "version": version, "error": error}
    return _finish(database, job_id, trainer, audited, values)


def fail(database: Database, job_id: int, trainer: str, error: str) -> bool:
    """Record that the job has failed, with a one-line diagnosis. False as in `renew`."""
    values = {"state": "failed", "stage": None, "version": None, "error": error}
    return _finish(database, job_id, trainer, "failed", values)


def _finish(database: Database, job_id: int, trainer: str, audited: str, values: Mapping[str, str | None]) -> bool:
    entry = _audited(Actor(""), "training.finish", audited)
    outcome = values["stage"] or values["state"] or ""
    summary = _SUMMARIES.get(outcome, "training {training} is done").format(
        training=job_id, version=values["version"]
    )
    detail = {"training": job_id, "version": values["version"], "outcome": outcome, "summary": summary}
    return _update(database, _FINISH, job_id, trainer, detail=to_json(detail).decode(), **values, **entry)


def save_answers(database: Database, job_id: int, answers: int) -> None:
    """Save the number of answers that the job's version is trained on."""
    database.execute(
        "UPDATE training_jobs SET parameters = parameters || jsonb_build_object('answers', CAST(:answers AS integer))"
        " WHERE id = :id",
        id=job_id,
        answers=answers,
    )


def _audited(actor: Actor, action: Action, outcome: str) -> dict[str, str]:
    return {"actor": actor.name, "address": actor.address, "action": action, "audited": outcome}


def _update(database: Database, statement: str, job_id: int, trainer: str, **values: Any) -> bool:
    return database.execute(statement, id=job_id, trainer=trainer, **values) > 0


def _job(row: Row[Any]) -> TrainingJob:
    return TrainingJob(**{**row._asdict(), "kind": JobKind(row.kind)})
