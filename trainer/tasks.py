"""The trainer's daily Celery tasks: names and retries. `triagem ops` runs them without torch.

`database` and `registry` are attributes of the application; an ops worker opens them in each process that runs tasks.
"""

from datetime import UTC, datetime
from typing import Any, Final

from celery import shared_task

from triagem.contracts.errors import Retryable
from triagem.trainer.alerting import alert_if_drifted, alert_if_due
from triagem.trainer.settings import DueSettings

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
