"""Celery tasks that send alerts and check the system. Run by `triagem ops`.

The rules are read on each run, so a change takes effect at once. During an outage a task does nothing; the next
run follows soon (INV-23).
"""

from datetime import UTC, datetime
from typing import Any

import structlog
from celery import shared_task

from triagem.alerts.monitor import MonitorSettings, check_system
from triagem.alerts.notify import channel_sender, send_due_alerts
from triagem.alerts.rules_file import AlertSettings, from_environment
from triagem.contracts.errors import Retryable
from triagem.outgoing.send import Sender

log = structlog.get_logger(__name__)


@shared_task(name="triagem.alerts", bind=True)  # type: ignore[untyped-decorator]
def alerts(task: Any) -> None:
    """Send the alerts that are due."""
    rules = from_environment()
    try:
        send = channel_sender(Sender(rules.allowed_hosts).send)
        send_due_alerts(task.app.database, rules, send, console_url=AlertSettings().console_url)
    except Retryable as error:
        log.warning("alerts_postponed", reason=str(error))


@shared_task(name="triagem.watch", bind=True)  # type: ignore[untyped-decorator]
def watch(task: Any) -> None:
    """Check the system; open and resolve system alerts."""
    try:
        check_system(task.app.database, task.app.inbox, MonitorSettings(), datetime.now(UTC))
    except Retryable as error:
        log.warning("system_check_postponed", reason=str(error))
