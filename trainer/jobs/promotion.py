"""Promotes the version that a job has registered, through the gate; or proposes it to a person."""

from contextlib import suppress
from enum import StrEnum

from triagem.contracts.errors import NoModel
from triagem.db.training_jobs import JobKind, TrainingJob
from triagem.registry import Registry
from triagem.registry.decision import Reject
from triagem.registry.promote import promote_through_gate
from triagem.registry.promotions import PromotionReason

FIRST_HEAD: str = "the first version: everything is reviewed until its precision is proved"


class PromotionPolicy(StrEnum):
    """The parameter `promote` of a job: whether its version becomes current if it passes the gate."""

    AUTO = "auto"
    PROPOSE = "propose"


def promote_job_version(registry: Registry, version: str, job: TrainingJob) -> str:
    """The outcome of a job: `promoted`, `rejected` by the gate, or `proposed`. Repeating it changes nothing.

    The first version of an installation without a model, trained on a few answers, becomes current without the gate:
    all its results are reviewed.
    """
    if any(promotion.version == version for promotion in registry.promotions()):
        return "promoted"
    if PromotionPolicy(job.parameters.get("promote", PromotionPolicy.AUTO)) is PromotionPolicy.PROPOSE:
        return "proposed"
    if job.kind is JobKind.HEAD and not _has_current(registry):
        registry.promote(version, PromotionReason(reason=FIRST_HEAD))
        return "promoted"
    decision, _ = promote_through_gate(registry, version)
    return "rejected" if isinstance(decision, Reject) else "promoted"


def _has_current(registry: Registry) -> bool:
    with suppress(NoModel):
        registry.current()
        return True
    return False
