"""Decides whether training is due, by the original specification's triggers.

Reads the facts from the current manifest, the reviews and the newest drift report; the decision itself is pure.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from triagem.db import Database, training_jobs
from triagem.db.reviews import AccuracyEstimate, model_accuracy
from triagem.registry import Registry
from triagem.registry.records import read_rows
from triagem.trainer.settings import DueSettings

# The latest review of each text of a ticket. It is usable for training while the ticket still has that text.
_REVIEWED: Final = """
SELECT encode(r.digest, 'hex') AS digest, r.label, t.digest = r.digest AND t.text IS NOT NULL AS usable
FROM (SELECT DISTINCT ON (ticket_id, digest) * FROM reviews ORDER BY ticket_id, digest, id DESC) r
JOIN tickets t ON t.id = r.ticket_id
WHERE r.label IS NOT NULL
"""


class Trigger(StrEnum):
    """The reasons that make training due."""

    AGE = "age"
    ACCURACY = "accuracy"
    LABEL = "new-label"
    DATA = "new-data"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class RetrainingFacts:
    """The current version's age and training data, and the reviews and drift reports since."""

    version: str
    age_days: float
    labels: tuple[str, ...]
    training_rows: int
    test_accuracy: float | None = None
    reviewed: AccuracyEstimate | None = None
    reviewed_labels: Mapping[str, int] = field(default_factory=dict)
    # reviewed texts that the version has not seen; None if its manifest does not record them
    new_rows: int | None = None
    drifted_at: datetime | None = None  # time of the newest report, if it found drift


@dataclass(frozen=True, slots=True)
class DueReason:
    """A reason why training is due. `topic` deduplicates alerts: the trigger, plus the label for a new label."""

    trigger: Trigger
    topic: str
    message: str


def unpromoted_version(database: Database, registry: Registry, *outcomes: str) -> str | None:
    """The version of the newest training with one of these outcomes, if the current version has not changed since."""
    job = training_jobs.newest_with_outcome(database, *outcomes)
    if job is None or job.finished_at is None or job.version not in registry.versions():
        return None
    changed = any(promotion.at >= job.finished_at for promotion in registry.promotions())
    return None if changed else job.version


def read_facts(database: Database, registry: Registry, now: datetime, version: str | None = None) -> RetrainingFacts:
    """The facts on a version, by default the current one. Raises NoModel if there is none."""
    version = version or registry.current().version
    manifest = registry.manifest(version)
    reviewed = database.rows(_REVIEWED)
    report = database.one_or_none(
        "SELECT drifted, made_at FROM drift_reports WHERE model_version = :version ORDER BY id DESC LIMIT 1",
        version=version,
    )
    seen = read_rows(registry, version)
    usable = {row.digest for row in reviewed if row.usable}
    return RetrainingFacts(
        version=version,
        age_days=(now - manifest.created_at) / timedelta(days=1),
        labels=manifest.labels,
        training_rows=manifest.data.texts or manifest.data.rows,  # reviewed texts are counted once too
        test_accuracy=None if manifest.data.leaked else manifest.metrics.get("accuracy"),
        reviewed=model_accuracy(database, version),
        reviewed_labels=Counter(row.label for row in reviewed),
        new_rows=None if seen is None else len(usable.difference(seen.train, seen.dev, seen.calibration, seen.test)),
        drifted_at=report.made_at if report and report.drifted else None,
    )


def check_due(facts: RetrainingFacts, rules: DueSettings) -> tuple[DueReason, ...]:
    """The reasons to train again; empty if training is not due. Each limit must be exceeded, not only reached."""
    return tuple(_reasons(facts, rules))


def _reasons(facts: RetrainingFacts, rules: DueSettings) -> Iterator[DueReason]:
    if facts.age_days > rules.max_age_days:
        yield _reason(Trigger.AGE, f"it was trained {facts.age_days:.0f} days ago, more than {rules.max_age_days}")
    measured, tested = facts.reviewed, facts.test_accuracy
    # Even the interval's upper bound is too low, so the drop is not an effect of few reviews.
    if measured and tested is not None and measured.high < tested - rules.max_accuracy_loss:
        interval = f"{measured.low:.3f} to {measured.high:.3f}, {measured.reviews} reviews"
        message = f"accuracy fell from {tested:.3f} on its test rows to {measured.value:.3f} ({interval})"
        yield _reason(Trigger.ACCURACY, message)
    for label, number in sorted(facts.reviewed_labels.items()):
        if label not in facts.labels:
            message = f"reviewers chose {label!r} ({number}), a label that it does not know"
            yield DueReason(Trigger.LABEL, f"{Trigger.LABEL} {label}", message)
    if facts.new_rows is not None and facts.new_rows > rules.max_new_data * facts.training_rows:
        share = f"{facts.new_rows} reviewed texts are new to it, more than {rules.max_new_data:.0%}"
        yield _reason(Trigger.DATA, f"{share} of the {facts.training_rows} it was trained on")
    if facts.drifted_at:
        yield _reason(
            Trigger.DRIFT, f"the drift report of {facts.drifted_at:%Y-%m-%d} found that the input has shifted"
        )


def distances(facts: RetrainingFacts, rules: DueSettings) -> Iterator[str]:
    """The distance of each trigger to its limit, one line each."""
    yield f"{Trigger.AGE}: trained {facts.age_days:.0f} days ago, limit {rules.max_age_days}"
    measured, tested = facts.reviewed, facts.test_accuracy
    known = "not known from reviews"
    if measured:
        known = f"{measured.low:.3f} to {measured.high:.3f} (95% interval, {measured.reviews} reviews)"
    limit = "none, no test score counts" if tested is None else f"{tested - rules.max_accuracy_loss:.3f}"
    yield f"{Trigger.ACCURACY}: {known}, limit {limit}"
    unknown = sum(number for label, number in facts.reviewed_labels.items() if label not in facts.labels)
    yield f"{Trigger.LABEL}: {unknown} reviews with a label that it does not know, limit 0"
    new = "an unknown number of" if facts.new_rows is None else facts.new_rows
    limit = f"{rules.max_new_data * facts.training_rows:.0f}"
    yield f"{Trigger.DATA}: {new} reviewed texts that are new to it, limit {limit}"
    yield f"{Trigger.DRIFT}: {'found' if facts.drifted_at else 'not found by the newest report'}"


def _reason(trigger: Trigger, message: str) -> DueReason:
    return DueReason(trigger, trigger, message)
