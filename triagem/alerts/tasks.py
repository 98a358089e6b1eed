"""The tasks that tell people and that look whether the system is well, as Celery sees them. Run by `triagem ops`.

The rules are read each time, so that a change counts at once. An outage is left to the next run, which is not far
(INV-23).
"""

from datetime import UTC, datetime
from typing import Any

import structlog
from celery import shared_task

from triagem.alerts.rules_file import AlertSettings, from_environment
from triagem.alerts.tell import sender, tell
from triagem.alerts.watch import WatchSettings
from triagem.alerts.watch import watch as look
from triagem.contracts.errors import Retryable
from triagem.outgoing.send import Sender

log = structlog.get_logger(__name__)


@shared_task(name="triagem.alerts", bind=True)  # type: ignore[untyped-decorator]
def alerts(task: Any) -> None:
    """Tell what is due."""
    rules = from_environment()
    try:
        send = sender(Sender(rules.allowed_hosts).send)
        tell(task.app.database, rules, send, console_url=AlertSettings().console_url)
    except Retryable as error:
        log.warning("nobody told", reason=str(error))


@shared_task(name="triagem.watch", bind=True)  # type: ignore[untyped-decorator]
def watch(task: Any) -> None:
    """Look, and raise what opens or is resolved by it."""
    try:
        look(task.app.database, task.app.inbox, WatchSettings(), datetime.now(UTC))
    except Retryable as error:
        log.warning("not looked", reason=str(error))
