"""Runs one job in its own process: does the work, then runs the gate and promotes or proposes the version."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from triagem.contracts.errors import InvalidInput, NotRetryable, Retryable, TriagemError
from triagem.contracts.model import CurrentModel
from triagem.db import Database, runs, training_jobs
from triagem.db.audit import Actor, record, record_once
from triagem.db.model_versions import had_model, versions_of_results
from triagem.db.runs import RunPlan
from triagem.db.training_jobs import JobKind, TrainingJob
from triagem.registry import Registry, RegistrySettings
from triagem.registry.decision import Reject
from triagem.registry.history import FIRST_HEAD, ArchiveDecision, PromotionReason, decide_archive
from triagem.registry.promote import evaluate_version, promote_through_gate
from triagem.trainer.evaluate.report import TrainingProgress
from triagem.trainer.jobs.trainer import job_folder
from triagem.trainer.settings import TrainerSettings

log = structlog.get_logger(__name__)

SHADOW_DAYS: Final = timedelta(days=30)
SHADOW_TICKETS: Final = 2000
_REPORT_EVERY_S: Final = 1.0
_NICENESS: Final = 10  # a training yields to the workers on its machine


class JobLost(SystemExit):
    """This trainer has lost the job: it was cancelled, or another trainer has taken it."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """A job and the services for its work.

    `key` marks the version that the job registers; `folder` holds the job's files.
    """

    job: TrainingJob
    trainer: str
    database: Database
    registry: Registry
    settings: TrainerSettings

    @property
    def key(self) -> str:
        return f"{self.job.id} {self.job.requested_at.isoformat()}"

    @property
    def folder(self) -> Path:
        return job_folder(self.registry.work_dir, self.job.id)

    def report(self, stage: str, fraction: float = 0.0) -> None:
        """Record the progress. An outage of Postgres does not end a training. Raises JobLost."""
        with suppress(Retryable):
            if not training_jobs.report(self.database, self.job.id, self.trainer, stage, fraction):
                raise JobLost


@dataclass
class StepReporter(TrainingProgress):
    """Records the steps of a training as the job's progress, at most once a second; notes and scores are logged."""

    run: JobRun
    clock: Callable[[], float] = time.monotonic
    _reported_at: float = float("-inf")

    def on_notes(self, notes: Sequence[str]) -> None:
        """Log the notes, which contain no customer's text."""
        log.info("training_notes", job=self.run.job.id, notes=notes)

    def on_evaluation(self, done: int, total: int, metric: str, value: float) -> None:
        """Log the score."""
        log.info("training_evaluated", job=self.run.job.id, step=done, steps=total, **{metric: value})

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        """Called after each optimizer step. Raises JobLost."""
        if done == total:
            self.run.report("evaluate")
        elif self.clock() - self._reported_at >= _REPORT_EVERY_S:
            self._reported_at = self.clock()
            self.run.report("train", done / total)
            log.info("training_progress", job=self.run.job.id, step=done, steps=total, loss=loss)


def run_job(database: Database, registry: Registry, settings: TrainerSettings, job_id: int, trainer: str) -> None:
    """Run a job that `trainer` has claimed, and record its outcome. The version is registered and promoted once.

    Raises:
        JobLost: the job is no longer this trainer's.
        Retryable: an outage; the job can run again.
    """
    os.nice(_NICENESS)
    job = training_jobs.find(database, job_id)
    if job is None:
        raise JobLost
    run = JobRun(job, trainer, database, registry, settings)
    try:
        version = registry.find_job(run.key)
        if version is None:
            if not registry.work_dir.exists() and registry.find_current() is None and had_model(database):
                raise InvalidInput(
                    f"the registry folder {registry.work_dir} is gone: check TRIAGEM_REGISTRY_URL, or restore it"
                )
            run.folder.mkdir(parents=True, exist_ok=True)
            version = _work(job.kind)(run)
        outcome = promote_job_version(database, registry, version, job, datetime.now(UTC)) if version else "done"
    except NotRetryable as error:
        training_jobs.fail(database, job.id, trainer, str(error))
        log.error("training_job_failed", job=job.id, reason=str(error))
        return
    except Retryable:
        raise
    except Exception as error:
        name = type(error).__name__
        training_jobs.fail(
            database, job.id, trainer, f"{name}: a bug in triagem; the trainer's log has the traceback"
        )
        raise
    reasons = rejection(registry, version) if version and outcome == "rejected" else None
    training_jobs.finish(database, job.id, trainer, version, outcome, error=reasons)
    log.info("training_job_done", job=job.id, version=version, outcome=outcome)
    if version:
        try:
            archive_old_versions(database, registry, Actor(f"training {job.id}"))
        except TriagemError as error:  # the next training tries again
            log.warning("versions_not_archived", reason=str(error))


def _work(kind: JobKind) -> Callable[[JobRun], str | None]:
    """The function that does a kind of job and returns the registered version, if it makes one."""
    if kind is JobKind.FULL:
        from triagem.trainer.jobs.full import train_full  # noqa: PLC0415 - loads torch

        return train_full
    if kind is JobKind.PREFLIGHT:
        from triagem.trainer.jobs.labelling import rate_upload  # noqa: PLC0415 - loads scipy

        return rate_upload
    from triagem.trainer.jobs.labelling import choose_questions, train_head  # noqa: PLC0415 - loads scipy

    return train_head if kind is JobKind.HEAD else choose_questions


def promote_job_version(database: Database, registry: Registry, version: str, job: TrainingJob, now: datetime) -> str:
    """The outcome of a job: `promoted`, `rejected` by the gate, or `proposed` to a person, with a shadow run.

    Idempotent.

    If there is no model yet, a first version trained on a few answers becomes current without the gate, because a
    person reviews all its results.
    """
    if any(promotion.version == version for promotion in registry.promotions()):
        return "promoted"
    current, actor = registry.find_current(), Actor(f"training {job.id}")
    announce = partial(record_once, database, actor, "model.promote", version)
    if job.kind is JobKind.HEAD and current is None:
        announce()
        registry.promote(version, PromotionReason(reason=FIRST_HEAD))
    elif isinstance(evaluate_version(registry, version), Reject):
        return "rejected"
    elif job.parameters.get("promote") == "propose":
        if current:
            start_shadow_run(database, version, current, now, actor)
        return "proposed"
    else:
        promote_through_gate(registry, version, announce=announce)
    return "promoted"


def rejection(registry: Registry, version: str) -> str | None:
    """The gate's reasons against a version, a line each; None if it passes, as after another promotion."""
    decision = evaluate_version(registry, version)
    return "\n".join(decision.reasons) if isinstance(decision, Reject) else None


def start_shadow_run(database: Database, version: str, current: CurrentModel, now: datetime, actor: Actor) -> None:
    """Let the workers classify recent tickets with a proposed version too; `triagem reclassify diff` compares them.

    Starts nothing while another run is active, because a nightly run matters more.
    """
    since = (now - SHADOW_DAYS).isoformat()
    plan = RunPlan(version, current.epoch, shadow=True, filters={"since": since}, max_tickets=SHADOW_TICKETS)
    with suppress(InvalidInput):
        runs.start(database, plan, actor)


def plan_archive(database: Database, registry: Registry) -> list[ArchiveDecision]:
    """The decision on each version that has its weights. Changes nothing."""
    versions, archived = registry.versions(), registry.archived()
    in_use = dict.fromkeys(versions_of_results(database, versions), "results with a text are of it")
    if run := runs.find_active(database):
        in_use[run.version] = "a run uses it"
    if (proposal := training_jobs.newest_with_outcome(database, "proposed")) and proposal.version:
        in_use[proposal.version] = "proposed"
    if current := registry.find_current():
        if previous := registry.rollback_version():
            in_use[previous] = "a rollback returns to it"
        in_use[current.version] = "current"
    return decide_archive(versions, archived, in_use, RegistrySettings().keep_versions)


def archive_old_versions(database: Database, registry: Registry, actor: Actor) -> list[ArchiveDecision]:
    """Archive versions by `plan_archive`, and add each to the audit trail first."""
    decisions = plan_archive(database, registry)
    for decision in decisions:
        if decision.kept_for is None:
            record(database, actor, "model.archive", decision.version)
            registry.archive(decision.version)
            log.info("version_archived", version=decision.version)
    return decisions
