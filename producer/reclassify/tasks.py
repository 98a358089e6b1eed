"""The tasks of runs over stored tickets, as Celery sees them. Run by `triagem ops`, which opens the rooms.

What one turn could not do the next one does.
"""

from datetime import UTC, datetime
from typing import Any, Final

from celery import shared_task

from triagem.contracts.errors import Retryable
from triagem.producer.reclassify.settings import ReclassifySettings
from triagem.producer.reclassify.sweep import nightly, sweep

# An outage at two o'clock must not cost the night.
_PATIENT: Final = {
    "bind": True, "autoretry_for": (Retryable,), "retry_backoff": 5, "retry_backoff_max": 120, "max_retries": 30,
}  # fmt: skip


@shared_task(name="triagem.reclassify", **_PATIENT)  # type: ignore[untyped-decorator]
def begin(task: Any) -> None:
    """The night's run."""
    nightly(task.app.database, task.app.registry, ReclassifySettings(), datetime.now(UTC))


@shared_task(name="triagem.reclassify.pages", bind=True, throws=(Retryable,), retry_backoff_max=1)  # type: ignore[untyped-decorator]
def pages(task: Any) -> None:
    """A turn of the active run. An outage ends it: the next turn is seconds away."""
    sweep(task.app.database, task.app.inbox, task.app.registry, datetime.now(UTC))
