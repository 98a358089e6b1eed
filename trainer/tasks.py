"""The trainer's daily tasks, as Celery sees them: names and retries. Run by `triagem ops`, without torch.

`database` and `registry` hang on the application: an ops worker opens them in each process that runs tasks.
"""

from datetime import UTC, datetime
from typing import Any, Final

from celery import shared_task

from triagem.contracts.errors import Retryable
from triagem.trainer.alerting import tell_drift, tell_due
from triagem.trainer.settings import DueSettings

# An outage is waited out by trying again, for half an hour or so, and not by waiting (INV-23). Each pause is shorter
# than the broker's `visibility_timeout`, or what waits here is given to another too.
_PATIENT: Final = {
    "bind": True, "autoretry_for": (Retryable,), "retry_backoff": 5, "retry_backoff_max": 120,
    "max_retries": 30, "default_retry_delay": 2,
}  # fmt: skip


@shared_task(name="triagem.drift", **_PATIENT)  # type: ignore[untyped-decorator]
def drift(task: Any) -> None:
    """Has the input shifted?"""
    tell_drift(task.app.database, task.app.registry, datetime.now(UTC))


@shared_task(name="triagem.due", **_PATIENT)  # type: ignore[untyped-decorator]
def due(task: Any) -> None:
    """Is it time to train again?"""
    tell_due(task.app.database, task.app.registry, DueSettings(), datetime.now(UTC))
