"""The pipe's own tasks beside tickets, as Celery sees them. Run by `triagem ops`, without torch."""

from datetime import UTC, datetime, timedelta
from typing import Any

from celery import shared_task

from triagem.contracts.errors import Retryable
from triagem.contracts.ticket import PREDICT
from triagem.db.retain import drop_tickets
from triagem.db.search import learn
from triagem.worker.settings import OpsSettings


@shared_task(
    name="triagem.sweep", bind=True, autoretry_for=(Retryable,), retry_backoff=5, retry_backoff_max=60, max_retries=3
)  # type: ignore[untyped-decorator]
def sweep(task: Any) -> None:
    """Delete what POST /predict was asked a while ago."""
    before = datetime.now(UTC) - timedelta(seconds=OpsSettings().predict_kept_s)
    for _ in drop_tickets(task.app.database, PREDICT, before=before):
        pass


@shared_task(name="triagem.search", bind=True, throws=(Retryable,))  # type: ignore[untyped-decorator]
def search(task: Any) -> None:
    """Look at new words, for two seconds: results are to go out meanwhile. What is left has its turn soon."""
    learn(task.app.database)
