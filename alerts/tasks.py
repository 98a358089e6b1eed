"""The task that tells people, as Celery sees it. Run by `triagem ops`, every few seconds.

The rules are read each time, so that a change counts at once.
"""

from typing import Any

import structlog
from celery import shared_task

from alerts.rules_file import AlertSettings, from_environment
from alerts.tell import sender, tell
from contracts.errors import Retryable
from outgoing.send import Sender

log = structlog.get_logger(__name__)


@shared_task(name="triagem.alerts", bind=True)  # type: ignore[untyped-decorator]
def alerts(task: Any) -> None:
    """Tell what is due. An outage is left to the next run, which is not far (PIPE 23)."""
    rules = from_environment()
    try:
        send = sender(Sender(rules.allowed_hosts).send)
        tell(task.app.database, rules, send, console_url=AlertSettings().console_url)
    except Retryable as error:
        log.warning("nobody told", reason=str(error))
