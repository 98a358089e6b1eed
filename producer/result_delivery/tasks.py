"""Celery task that delivers results to CRMs. `triagem ops` runs it every few seconds.

The ops worker opens `database` on the application in each process that runs tasks. The CRM file is read at each run,
so that a changed secret takes effect at once.
"""

from typing import Any

import structlog
from celery import shared_task

from triagem.contracts.errors import Retryable
from triagem.db.deliveries import sync_result_targets
from triagem.outgoing.send import Sender
from triagem.producer.crm import crm_from_environment
from triagem.producer.result_delivery.deliver import deliver_due

log = structlog.get_logger(__name__)


@shared_task(name="triagem.deliver", bind=True)  # type: ignore[untyped-decorator]
def deliver(task: Any) -> None:
    """Deliver what is due. During an outage, the next run continues (INV-23)."""
    crm = crm_from_environment()
    try:
        sync_result_targets(task.app.database, crm.targets)
        if crm.targets:
            deliver_due(task.app.database, crm, Sender(crm.allowed_hosts).send)
    except Retryable as error:
        log.warning("results_postponed", reason=str(error))
