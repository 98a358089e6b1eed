"""What the daily tasks do: look, and put what a person should know into the outbox; the same thing once a month.

Idempotent: whoever runs it twice, or at the same time as another, tells nothing twice.
"""

from datetime import datetime

import structlog

from triagem.db import Database
from triagem.db.alerts import DRIFT, RETRAINING_DUE, raise_alert
from triagem.registry import Registry
from triagem.trainer.due import Due, Trigger, due
from triagem.trainer.due_facts import facts
from triagem.trainer.settings import DueSettings

log = structlog.get_logger(__name__)


def tell_due(database: Database, registry: Registry, rules: DueSettings, now: datetime) -> int:
    """Raise an alert for each reason to train again; returns how many are new."""
    known = facts(database, registry, now)
    found = due(known, rules)
    reasons = found.reasons if isinstance(found, Due) else ()
    log.info("due", version=known.version, reasons=[reason.topic for reason in reasons])
    return sum(
        raise_alert(
            database,
            RETRAINING_DUE,
            _once_a_month(known.version, reason.topic, now),
            {"version": known.version, "trigger": reason.trigger, "says": reason.says},
        )
        for reason in reasons
        if reason.trigger is not Trigger.DRIFT  # has an alert of its own
    )


def tell_drift(database: Database, registry: Registry, now: datetime) -> bool:
    """Compare recent tickets with the version's reference, and raise an alert if they differ; True if it is new."""
    from triagem.trainer.drift import check  # noqa: PLC0415 - scipy, for whoever runs it

    report = check(database, registry)
    log.info("drift", version=report.model_version, drifted=report.drifted)
    if not report.drifted:
        return False
    says, *figures = report.lines()
    detail = {"version": report.model_version, "says": says, "figures": figures}
    return raise_alert(database, DRIFT, _once_a_month(report.model_version, "", now), detail)


def _once_a_month(version: str, topic: str, now: datetime) -> str:
    """What is the same thing: a month later it is told again, if it still holds, and of the next version at once."""
    return " ".join(filter(None, (version, topic, f"{now:%Y-%m}")))
