"""Celery tasks of reclassification runs. `triagem ops` runs them and opens the services they use.

A task that fails leaves its work to the next one.
"""

from datetime import UTC, datetime
from typing import Any, Final

from celery import shared_task

from triagem.contracts.errors import Retryable
from triagem.producer.reclassify.advance import advance_run, start_nightly_run
from triagem.producer.reclassify.settings import ReclassifySettings

# An outage at the start hour must not cost the night.
_RETRIES: Final = {
    "bind": True, "autoretry_for": (Retryable,), "retry_backoff": 5, "retry_backoff_max": 120, "max_retries": 30,
}  # fmt: skip


@shared_task(name="triagem.reclassify", **_RETRIES)  # type: ignore[untyped-decorator]
def start(task: Any) -> None:
    """Start or resume the nightly run."""
    start_nightly_run(task.app.database, task.app.registry, ReclassifySettings(), datetime.now(UTC))


@shared_task(name="triagem.reclassify.pages", bind=True, throws=(Retryable,), retry_backoff_max=1)  # type: ignore[untyped-decorator]
def advance(task: Any) -> None:
    """Advance the active run. An outage ends the task: the next one starts in seconds."""
    advance_run(task.app.database, task.app.inbox, task.app.registry, datetime.now(UTC))
