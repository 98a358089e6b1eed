"""Decides whether training is due, by the original specification's triggers.

Reads the facts from the current manifest, the reviews and the newest drift report; the decision itself is pure.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from math import floor
from typing import Final

from triagem.db import Database, training_jobs
from triagem.db.reviews import AccuracyEstimate, model_accuracy
from triagem.registry import Registry
from triagem.registry.records import read_rows, read_trained_texts
from triagem.trainer.settings import DueSettings

# The latest review of each text of a ticket. It is usable for training while the ticket still has that text.
_REVIEWED: Final = """
SELECT encode(r.digest, 'hex') AS digest, r.label, t.digest = r.digest AND t.text IS NOT NULL AS usable
FROM (SELECT DISTINCT ON (ticket_id, digest) * FROM reviews ORDER BY ticket_id, digest, id DESC) r
JOIN tickets t ON t.id = r.ticket_id
WHERE r.label IS NOT NULL
"""
# Of a version whose accuracy has not fallen, one review says by chance up to 16 times in 100 that it has; with ten or
# more, at most 2.5 times (tests/unit/test_due.py computes it for the Wilson interval).
MIN_REVIEWS: Final = 10


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
    drift_checked_at: datetime | None = None  # time of the newest report
    drifted_at: datetime | None = None  # the same, if it found drift


@dataclass(frozen=True, slots=True)
class DueReason:
    """A reason why training is due. `topic` deduplicates alerts: the trigger, plus the label for a new label."""

    trigger: Trigger
    topic: str
    message: str


@dataclass(frozen=True, slots=True)
class LimitDistance:
    """A trigger's value and limit, None if unknown, and both in words. For the accuracy, a lower value is due."""

    trigger: Trigger
    value: float | None
    limit: float | None
    message: str


def unpromoted_version(database: Database, registry: Registry, *outcomes: str) -> str | None:
    """The version of the newest training with one of these outcomes, if the current version has not changed since."""
    job = training_jobs.newest_with_outcome(database, *outcomes)
    if job is None or job.finished_at is None or job.version not in registry.versions():
        return None
    changed = any(promotion.at >= job.finished_at for promotion in registry.promotions())
    return None if changed else job.version


def rolled_back_version(registry: Registry) -> str | None:
    """The version that the last rollback replaced, if the current version has not changed since."""
    last = next(reversed(registry.promotions()), None)
    if last is None or last.decision != "rollback" or last.previous not in registry.versions():
        return None
    return last.previous


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
        reviewed=model_accuracy(database, version, trained=read_trained_texts(registry, version)),
        reviewed_labels=Counter(row.label for row in reviewed),
        new_rows=None if seen is None else len(usable.difference(seen.train, seen.dev, seen.calibration, seen.test)),
        drift_checked_at=report.made_at if report else None,
        drifted_at=report.made_at if report and report.drifted else None,
    )


def check_due(facts: RetrainingFacts, rules: DueSettings) -> tuple[DueReason, ...]:
    """The reasons to train again; empty if training is not due. Each limit must be exceeded, not only reached."""
    return tuple(_reasons(facts, rules))


def _reasons(facts: RetrainingFacts, rules: DueSettings) -> Iterator[DueReason]:
    if facts.age_days > rules.max_age_days:
        age = f"{facts.age_days:,.1f}".removesuffix(".0")
        yield _reason(Trigger.AGE, f"it was trained {age} days ago, more than {rules.max_age_days}")
    measured, tested = facts.reviewed, facts.test_accuracy
    # Even the interval's upper bound is too low, so the drop is hardly chance.
    enough = measured is not None and measured.reviews >= MIN_REVIEWS
    if measured and enough and tested is not None and measured.high < tested - rules.max_accuracy_loss:
        interval = f"{measured.low:.3f} to {measured.high:.3f}, {measured.reviews:,} reviews"
        message = f"accuracy fell from {tested:.3f} on its test rows to {measured.value:.3f} ({interval})"
        yield _reason(Trigger.ACCURACY, message)
    for label, number in sorted(facts.reviewed_labels.items()):
        if label not in facts.labels:
            message = f"reviewers chose {label!r} ({number:,}), a label that it does not know"
            yield DueReason(Trigger.LABEL, f"{Trigger.LABEL} {label}", message)
    if facts.new_rows is not None and facts.new_rows > rules.max_new_data * facts.training_rows:
        share = f"{facts.new_rows:,} reviewed texts are new to it, more than {rules.max_new_data:.0%}"
        yield _reason(Trigger.DATA, f"{share} of the {facts.training_rows:,} it was trained on")
    if facts.drifted_at:
        yield _reason(
            Trigger.DRIFT, f"the drift report of {facts.drifted_at:%Y-%m-%d} found that the input has shifted"
        )


def distances(facts: RetrainingFacts, rules: DueSettings) -> Iterator[LimitDistance]:
    """The distance of each trigger to its limit."""
    yield LimitDistance(
        Trigger.AGE,
        facts.age_days,
        rules.max_age_days,
        f"trained {facts.age_days:,.1f} days ago; due after {rules.max_age_days} days, "
        f"in {rules.max_age_days - facts.age_days:.1f}",
    )
    yield _accuracy_distance(facts, rules)
    unknown = {label: number for label, number in facts.reviewed_labels.items() if label not in facts.labels}
    chosen = ", ".join(f"{label!r} ({number:,})" for label, number in sorted(unknown.items()))
    yield LimitDistance(
        Trigger.LABEL,
        sum(unknown.values()),
        0,
        f"reviewers chose {chosen or 'only labels that it knows'}; due with the first unknown label",
    )
    limit, new = rules.max_new_data * facts.training_rows, facts.new_rows
    if new is None:
        message = "not checked: the version has no list of its training texts"
    else:
        to_go = max(0, floor(limit) + 1 - new)
        message = f"reviewed texts that are new to it: {new:,}; due with {floor(limit) + 1:,}, {to_go:,} to go"
    yield LimitDistance(Trigger.DATA, new, limit, message)
    if facts.drifted_at:
        message = f"found by the report of {facts.drifted_at:%Y-%m-%d}"
    elif facts.drift_checked_at:
        message = f"not found by the newest report, of {facts.drift_checked_at:%Y-%m-%d}"
    else:
        message = "not checked: there is no report on this version, `triagem drift` makes one"
    yield LimitDistance(Trigger.DRIFT, None, None, message)


def _accuracy_distance(facts: RetrainingFacts, rules: DueSettings) -> LimitDistance:
    measured, tested = facts.reviewed, facts.test_accuracy
    limit = None if tested is None else tested - rules.max_accuracy_loss
    if limit is None:
        message = "not checked: no score on test rows counts"
    elif measured is None:
        message = f"not checked: no randomly sampled text has been reviewed; due below {limit:.3f}"
    else:
        counted = "1 review" if measured.reviews == 1 else f"{measured.reviews:,} reviews"
        message = f"{measured.low:.3f} to {measured.high:.3f} on reviews (95% interval, {counted}); due if "
        if measured.reviews < MIN_REVIEWS:
            message += f"the upper bound is below {limit:.3f} with {MIN_REVIEWS} reviews or more"
        else:
            message += f"the upper bound falls by {measured.high - limit:.3f}, below {limit:.3f}"
        if measured.reviews_missing:
            message += f"; {measured.reviews_needed} make the interval narrow"
        if measured.trained:
            message += f"; reviews left out because it was trained on their texts: {measured.trained:,}"
    return LimitDistance(Trigger.ACCURACY, measured.high if measured else None, limit, message)


def _reason(trigger: Trigger, message: str) -> DueReason:
    return DueReason(trigger, trigger, message)
