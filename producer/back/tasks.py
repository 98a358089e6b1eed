"""The task that tells CRMs their results, as Celery sees it. Run by `triagem ops`, every few seconds.

`database` hangs on the application: an ops worker opens it in each process that runs tasks. The CRM file is read
each time, so that a secret that was changed counts at once.
"""

from typing import Any

import structlog
from celery import shared_task

from triagem.contracts.errors import Retryable
from triagem.db.deliveries import keep_targets
from triagem.outgoing.send import Sender
from triagem.producer.back.tell import tell
from triagem.producer.crm import from_environment

log = structlog.get_logger(__name__)


@shared_task(name="triagem.deliver", bind=True)  # type: ignore[untyped-decorator]
def deliver(task: Any) -> None:
    """Tell what is due. An outage is left to the next run, which is not far (INV-23)."""
    crm = from_environment()
    try:
        keep_targets(task.app.database, crm.targets)
        if crm.targets:
            tell(task.app.database, crm, Sender(crm.allowed_hosts).send)
    except Retryable as error:
        log.warning("nothing told", reason=str(error))
