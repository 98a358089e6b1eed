"""Is it time to train again, and why: the seed's triggers, from facts to a decision. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from triagem.db.reviews import Estimate
from triagem.trainer.settings import DueSettings


class Trigger(StrEnum):
    """What makes training due."""

    AGE = "age"
    ACCURACY = "accuracy"
    LABEL = "new-label"
    DATA = "new-data"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the current version, and what people and drift reports have said since."""

    version: str
    age_days: float
    labels: tuple[str, ...]
    training_rows: int
    test_accuracy: float | None = None
    reviewed: Estimate | None = None
    reviewed_labels: Mapping[str, int] = field(default_factory=dict)
    new_rows: int | None = None  # reviewed texts that the version has not seen; None: it does not tell what it saw
    drifted_at: datetime | None = None  # of the newest report, if that says so


@dataclass(frozen=True, slots=True)
class Reason:
    """Why training is due. `topic` is what is told once: the trigger, and the label where it is a new one."""

    trigger: Trigger
    topic: str
    says: str


@dataclass(frozen=True, slots=True)
class Due:
    """Training is due, for all of these reasons."""

    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class NotDue:
    """No trigger has gone off."""


def due(facts: Facts, rules: DueSettings) -> Due | NotDue:
    """Whether to train again. Each limit must be passed, not only met."""
    reasons = tuple(_reasons(facts, rules))
    return Due(reasons) if reasons else NotDue()


def _reasons(facts: Facts, rules: DueSettings) -> Iterator[Reason]:
    if facts.age_days > rules.max_age_days:
        yield _reason(Trigger.AGE, f"it was trained {facts.age_days:.0f} days ago, over {rules.max_age_days}")
    measured, tested = facts.reviewed, facts.test_accuracy
    # Certainly down, not only in these few reviews: even the interval's upper end is too low.
    if measured and tested is not None and measured.high < tested - rules.max_accuracy_loss:
        interval = f"{measured.low:.3f} to {measured.high:.3f}, {measured.reviews} reviews"
        says = f"accuracy fell from {tested:.3f} on its test to {measured.value:.3f} ({interval})"
        yield _reason(Trigger.ACCURACY, says)
    for label, number in sorted(facts.reviewed_labels.items()):
        if label not in facts.labels:
            says = f"reviews say {label!r} ({number}), a label that it does not know"
            yield Reason(Trigger.LABEL, f"{Trigger.LABEL} {label}", says)
    if facts.new_rows is not None and facts.new_rows > rules.max_new_data * facts.training_rows:
        share = f"{facts.new_rows} reviewed texts are new to it, over {rules.max_new_data:.0%}"
        yield _reason(Trigger.DATA, f"{share} of the {facts.training_rows} it was trained on")
    if facts.drifted_at:
        yield _reason(
            Trigger.DRIFT, f"the drift report of {facts.drifted_at:%Y-%m-%d} says that the input has shifted"
        )


def _reason(trigger: Trigger, says: str) -> Reason:
    return Reason(trigger, trigger, says)
