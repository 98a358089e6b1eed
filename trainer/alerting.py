"""Raises alerts when training is due or the input has drifted. The daily tasks call it.

Idempotent: each reason is raised once a month and version, however often or concurrently the tasks run.
"""

from datetime import datetime

import structlog

from triagem.db import Database
from triagem.db.alerts import DRIFT, RETRAINING_DUE, raise_alert
from triagem.registry import Registry
from triagem.trainer.due import Due, Trigger, check_due
from triagem.trainer.retraining_facts import read_facts
from triagem.trainer.settings import DueSettings

log = structlog.get_logger(__name__)


def alert_if_due(database: Database, registry: Registry, rules: DueSettings, now: datetime) -> int:
    """Raise an alert for each reason to train again; returns how many are new."""
    facts = read_facts(database, registry, now)
    decision = check_due(facts, rules)
    reasons = decision.reasons if isinstance(decision, Due) else ()
    log.info("retraining checked", version=facts.version, reasons=[reason.topic for reason in reasons])
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
    """Compare recent tickets with the version's reference, and raise an alert if they differ; True if it is new."""
    from triagem.trainer.drift import check  # noqa: PLC0415 - loads scipy

    report = check(database, registry)
    log.info("drift checked", version=report.model_version, drifted=report.drifted)
    if not report.drifted:
        return False
    summary, *figures = report.lines()
    detail = {"version": report.model_version, "summary": summary, "figures": figures}
    return raise_alert(database, DRIFT, _monthly_key(report.model_version, "", now), detail)


def _monthly_key(version: str, topic: str, now: datetime) -> str:
    """An alert's deduplication key: the same reason is raised again next month, and for the next version at once."""
    return " ".join(filter(None, (version, topic, f"{now:%Y-%m}")))
