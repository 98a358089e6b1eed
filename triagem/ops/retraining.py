"""Requests a retraining when the current version is due for one."""

from datetime import datetime

import structlog

from triagem.db import Database, training_jobs
from triagem.db.audit import SCHEDULE
from triagem.db.training_jobs import JobKind, TrainingJob
from triagem.ops.settings import OpsSettings
from triagem.registry import Registry
from triagem.trainer.monitor.due import check_due, read_facts, rolled_back_version, unpromoted_version
from triagem.trainer.settings import DueSettings

log = structlog.get_logger(__name__)


def request_due_retraining(
    database: Database, registry: Registry, rules: DueSettings, settings: OpsSettings, now: datetime
) -> TrainingJob | None:
    """Request a full training with the reviews if `triagem due` has a reason; None if not.

    Repeating it is harmless: a trainer runs the job, and at most one is active. Without a model, nothing is due.
    A training on the same reviews would only repeat the last one. So if its version waits for a person, or the gate
    has rejected it, or a person has rolled it back, this version must be due too, for example because it lacks many
    newer reviews.
    """
    if registry.find_current() is None:
        return None
    facts = read_facts(database, registry, now)
    reasons = check_due(facts, rules)
    newest = unpromoted_version(database, registry, "proposed", "rejected") or rolled_back_version(registry)
    if reasons and newest:
        facts = read_facts(database, registry, now, newest)
        reasons = check_due(facts, rules)
    if not reasons:
        log.info("retraining_not_due", version=facts.version)
        return None
    parameters = {"promote": settings.retrain_promote}
    job, is_new = training_jobs.request(database, JobKind.FULL, requested_by=SCHEDULE.name, parameters=parameters)
    log.info("retraining_requested", job=job.id, new=is_new, reasons=[reason.topic for reason in reasons])
    return job
