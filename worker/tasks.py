"""Celery tasks of the worker package: clean-up and search indexing. Run by `triagem ops`, without torch."""

from datetime import UTC, datetime, timedelta
from typing import Any

from celery import shared_task

from triagem.contracts.errors import Retryable
from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.retention import delete_source_tickets
from triagem.db.search import index_queued_tickets
from triagem.worker.settings import OpsSettings


@shared_task(
    name="triagem.sweep", bind=True, autoretry_for=(Retryable,), retry_backoff=5, retry_backoff_max=60, max_retries=3
)  # type: ignore[untyped-decorator]
def sweep(task: Any) -> None:
    """Delete the texts of POST /predict after their retention period."""
    before = datetime.now(UTC) - timedelta(seconds=OpsSettings().predict_retention_s)
    for _ in delete_source_tickets(task.app.database, PREDICT_SOURCE, before=before):
        pass


@shared_task(name="triagem.search", bind=True, throws=(Retryable,))  # type: ignore[untyped-decorator]
def search(task: Any) -> None:
    """Index queued tickets for search, for two seconds so that deliveries are not delayed; the next run goes on."""
    index_queued_tickets(task.app.database)
