"""The trainer's periodic Celery tasks: names and retries. `triagem ops` runs them without torch.

`database` and `registry` are attributes of the application; an ops worker opens them in each process that runs tasks.
"""

from datetime import UTC, datetime
from typing import Any, Final

import structlog
from celery import shared_task

from triagem.contracts.errors import NoModel, Retryable
from triagem.db import Database
from triagem.db.outbox.alerts import CALIBRATION, DRIFT, RETRAINING_DUE, raise_alert
from triagem.db.reviews.expected import RECENT, expected_accuracy, store_accuracy_report
from triagem.registry import Registry
from triagem.registry.records import read_trained_texts
from triagem.trainer.monitor.due import Trigger, check_due, read_facts
from triagem.trainer.settings import DueSettings

log = structlog.get_logger(__name__)

DIVERGED: Final = (
    "{version} expects {expected} right labels, but reviews say {low} to {high} ({sampled:,} reviews of randomly "
    "sampled texts)"
)


def alert_if_due(database: Database, registry: Registry, rules: DueSettings, now: datetime) -> int:
    """Raise an alert for each reason to train again; returns how many are new. None before there is a model."""
    try:
        facts = read_facts(database, registry, now)
    except NoModel:
        return 0
    reasons = check_due(facts, rules)
    log.info("retraining_checked", version=facts.version, reasons=[reason.topic for reason in reasons])
    return sum(
        raise_alert(
            database,
            RETRAINING_DUE,
            _monthly_key(facts.version, reason.topic, now),
            {"version": facts.version, "trigger": reason.trigger, "summary": reason.message},
        )
        for reason in reasons
        if reason.trigger is not Trigger.DRIFT  # drift has its own alert
    )


def alert_if_drifted(database: Database, registry: Registry, now: datetime) -> bool:
    """Compare recent tickets with the version's reference; alert if they differ. True if the alert is new."""
    from triagem.trainer.monitor.drift import check  # noqa: PLC0415 - loads scipy

    try:
        report = check(database, registry)
    except NoModel:
        return False
    log.info("drift_checked", version=report.model_version, drifted=report.drifted)
    if not report.drifted:
        return False
    summary, *figures = report.lines()
    detail = {"version": report.model_version, "summary": summary, "figures": figures}
    return raise_alert(database, DRIFT, _monthly_key(report.model_version, "", now), detail)


def alert_if_diverged(database: Database, registry: Registry, now: datetime) -> bool:
    """Store the accuracy that the version expects and the reviews' estimate; alert if they contradict each other.

    True if the alert is new.
    """
    try:
        version = registry.current().version
    except NoModel:
        return False
    trained = read_trained_texts(registry, version)
    expected = expected_accuracy(database, version, now - RECENT, trained=trained)
    store_accuracy_report(database, version, expected, now)
    reviewed = expected.reviewed
    if not expected.diverged or reviewed is None:
        return False
    detail = {
        "version": version, "expected": f"{reviewed.mean_confidence:.1%}", "low": f"{reviewed.low:.1%}",
        "high": f"{reviewed.high:.1%}", "sampled": reviewed.sampled,
    }  # fmt: skip
    summary = DIVERGED.format(**detail)
    return raise_alert(database, CALIBRATION, _monthly_key(version, "", now), {**detail, "summary": summary})


def _monthly_key(version: str, topic: str, now: datetime) -> str:
    """An alert's deduplication key: the same reason is raised again next month, and for the next version at once."""
    return " ".join(filter(None, (version, topic, f"{now:%Y-%m}")))


# During an outage the task is retried for about half an hour instead of blocking (INV-23). Each delay is shorter than
# the broker's `visibility_timeout`; otherwise the broker would redeliver the waiting task to another worker.
_RETRIES: Final = {
    "bind": True, "autoretry_for": (Retryable,), "retry_backoff": 5, "retry_backoff_max": 120,
    "max_retries": 30, "default_retry_delay": 2,
}  # fmt: skip


@shared_task(name="triagem.drift", **_RETRIES)  # type: ignore[untyped-decorator]
def drift(task: Any) -> None:
    """Check for input drift and raise an alert."""
    alert_if_drifted(task.app.database, task.app.registry, datetime.now(UTC))


@shared_task(name="triagem.due", **_RETRIES)  # type: ignore[untyped-decorator]
def due(task: Any) -> None:
    """Check whether training is due and raise an alert for each reason."""
    alert_if_due(task.app.database, task.app.registry, DueSettings(), datetime.now(UTC))


@shared_task(name="triagem.accuracy", bind=True, throws=(Retryable,))  # type: ignore[untyped-decorator]
def accuracy(task: Any) -> None:
    """Compare the version's confidences with the reviews, and raise an alert if they contradict each other."""
    alert_if_diverged(task.app.database, task.app.registry, datetime.now(UTC))
