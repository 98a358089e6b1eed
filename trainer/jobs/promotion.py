"""Promotes the version that a job has registered, through the gate; or proposes it to a person."""

from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from triagem.contracts.errors import InvalidInput, NoModel
from triagem.contracts.model import CurrentModel
from triagem.db import Database, runs
from triagem.db.audit import Action, Actor, record
from triagem.db.runs import RunPlan
from triagem.db.training_jobs import JobKind, TrainingJob
from triagem.registry import Registry
from triagem.registry.decision import Reject
from triagem.registry.promote import evaluate_version, promote_through_gate
from triagem.registry.promotions import PromotionReason

SHADOW_DAYS: Final = timedelta(days=30)
SHADOW_TICKETS: Final = 2000
FIRST_HEAD: Final = "the first version: everything is reviewed until its precision is proved"


class PromotionPolicy(StrEnum):
    """The parameter `promote` of a job: whether its version becomes current if it passes the gate."""

    AUTO = "auto"
    PROPOSE = "propose"


def promote_job_version(database: Database, registry: Registry, version: str, job: TrainingJob, now: datetime) -> str:
    """The outcome of a job: `promoted`, `rejected` by the gate, or `proposed` to a person, with a shadow run.

    Repeating it promotes once.

    The first version of an installation without a model, trained on a few answers, becomes current without the gate:
    all its results are reviewed.
    """
    if any(promotion.version == version for promotion in registry.promotions()):
        return "promoted"
    current = _current(registry)
    if job.kind is JobKind.HEAD and current is None:
        registry.promote(version, PromotionReason(reason=FIRST_HEAD))
    elif isinstance(evaluate_version(registry, version), Reject):
        return "rejected"
    elif PromotionPolicy(job.parameters.get("promote", PromotionPolicy.AUTO)) is PromotionPolicy.PROPOSE:
        if current:
            start_shadow_run(database, version, current, now)
        return "proposed"
    else:
        promote_through_gate(registry, version)
    record(database, Actor(f"training {job.id}"), Action.PROMOTE, version)
    return "promoted"


def start_shadow_run(database: Database, version: str, current: CurrentModel, now: datetime) -> None:
    """Let the workers classify recent tickets with a proposed version too; `triagem reclassify diff` compares them.

    Not while another run is active: a nightly run matters more.
    """
    since = (now - SHADOW_DAYS).isoformat()
    plan = RunPlan(version, current.epoch, shadow=True, filters={"since": since}, max_tickets=SHADOW_TICKETS)
    with suppress(InvalidInput):
        runs.start(database, plan)


def _current(registry: Registry) -> CurrentModel | None:
    with suppress(NoModel):
        return registry.current()
    return None
