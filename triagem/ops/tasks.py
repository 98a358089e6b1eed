"""Celery tasks, run by `triagem ops` without torch. Drift and retraining checks are in `trainer.monitor.tasks`.

The ops worker opens `database`, `inbox` and `registry` on the application in each process that runs tasks. Operators'
files are read again every few seconds. An outage ends a task; the next run
continues (INV-23).
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import structlog
from celery import shared_task
from pydantic import JsonValue
from redis import RedisError

from triagem.contracts.errors import InvalidTicket, Retryable
from triagem.contracts.ticket import PREDICT_SOURCE, Lane, accept, read_lane
from triagem.db.outbox.deliveries import sync_result_targets
from triagem.db.retention import delete_source_tickets
from triagem.db.tickets.dead_letters import insert_task_dead_letter
from triagem.db.tickets.search import index_queued_tickets
from triagem.db.uploads import sweep_uploads
from triagem.notify.alert_rules import AlertsFile
from triagem.notify.channels import Sender, channel_sender
from triagem.notify.deliveries import deliver_due, send_due_alerts
from triagem.notify.monitor import MonitorSettings, check_system
from triagem.ops.invalid_files import record_problem
from triagem.ops.model_versions import copy_registry
from triagem.ops.reclassify import advance_run, start_due_run, start_nightly_run
from triagem.ops.retention import RetentionSettings, delete_old_data
from triagem.ops.retraining import request_due_retraining
from triagem.ops.settings import OpsSettings
from triagem.producer import Publisher
from triagem.producer.crm import CrmFile
from triagem.settings_file import Content, ReloadedFile
from triagem.trainer.settings import DueSettings

log = structlog.get_logger(__name__)

_RETAIN_S: Final = 120.0  # below the time limit of a task
_FEW_RETRIES: Final = {
    "bind": True, "autoretry_for": (Retryable,), "retry_backoff": 5, "retry_backoff_max": 60, "max_retries": 3,
}  # fmt: skip
# An outage at the start time must not prevent the nightly run.
_RETRIES: Final = {**_FEW_RETRIES, "retry_backoff_max": 120, "max_retries": 30}
_ARGUMENTS: Final = dict(enumerate(("source", "external_id", "text"), 1))
# The main process reads them before it forks the task processes, which so begin with valid content.
crm_file: Final = cache(CrmFile.from_environment)
alerts_file: Final = cache(AlertsFile.from_environment)


@shared_task(
    name="triagem.enqueue",
    bind=True,
    autoretry_for=(Retryable,),
    retry_backoff=1,
    retry_backoff_max=60,
    max_retries=None,
)  # type: ignore[untyped-decorator]
def enqueue(task: Any, *arguments: JsonValue, lane: JsonValue = Lane.LIVE, **fields: JsonValue) -> None:
    """Publish a ticket to the inbox, for services that already use Celery. Later steps do not use Celery.

    Takes any arguments, so that a ticket with a wrong field name is kept: an invalid ticket becomes a dead letter.

    Args:
        arguments: source, external_id and text, if they have no names.
        fields: the ticket's fields. Without `revised_at`, the time at which the task runs is used.
    """
    named = {_ARGUMENTS.get(number, f"argument_{number}"): value for number, value in enumerate(arguments, 1)}
    fields = {name: value for name, value in (named | fields).items() if value is not None}
    try:
        known_lane = read_lane(str(lane))
        ticket = accept(fields, now=datetime.now(UTC))
    except InvalidTicket as error:
        insert_task_dead_letter(task.app.database, task.request.id, {"lane": lane, **fields}, str(error))
        log.error("ticket_refused", reason=str(error), task_id=task.request.id)
        return
    Publisher(task.app.inbox).put([ticket], lane=known_lane)


@shared_task(name="triagem.sweep", **_FEW_RETRIES)  # type: ignore[untyped-decorator]
def sweep(task: Any) -> None:
    """Delete the texts of POST /predict after their retention period, and uploads whose job has ended."""
    sweep_uploads(task.app.database)
    before = datetime.now(UTC) - timedelta(seconds=OpsSettings().predict_retention_s)
    for _ in delete_source_tickets(task.app.database, PREDICT_SOURCE, before=before):
        pass


@shared_task(name="triagem.retain", **_FEW_RETRIES)  # type: ignore[untyped-decorator]
def retain(task: Any) -> None:
    """Delete old data, for two minutes at most; the next run continues."""
    end, deleted = time.monotonic() + _RETAIN_S, Counter[str]()
    for kind, rows in delete_old_data(task.app.database, RetentionSettings().days(), now=datetime.now(UTC)):
        deleted[kind] += rows
        if time.monotonic() > end:
            break
    log.info("old_data_deleted", **deleted)


@shared_task(name="triagem.search", bind=True, throws=(Retryable,))  # type: ignore[untyped-decorator]
def search(task: Any) -> None:
    """Index queued tickets for search, for two seconds so that deliveries are not delayed; the next run continues."""
    index_queued_tickets(task.app.database)


@shared_task(name="triagem.models", bind=True, throws=(Retryable,))  # type: ignore[untyped-decorator]
def models(task: Any) -> None:
    """Copy new versions and promotions of the registry to Postgres."""
    copy_registry(task.app.database, task.app.registry)


@shared_task(name="triagem.reclassify", **_RETRIES)  # type: ignore[untyped-decorator]
def start(task: Any) -> None:
    """Start or resume the nightly run."""
    start_nightly_run(task.app.database, task.app.registry, OpsSettings(), datetime.now(UTC))


@shared_task(name="triagem.retrain", **_RETRIES)  # type: ignore[untyped-decorator]
def retrain(task: Any) -> None:
    """Request a retraining if one is due. The trainer does it."""
    request_due_retraining(task.app.database, task.app.registry, DueSettings(), OpsSettings(), datetime.now(UTC))


@shared_task(name="triagem.reclassify.pages", bind=True, throws=(Retryable,), retry_backoff_max=1)  # type: ignore[untyped-decorator]
def advance(task: Any) -> None:
    """Start a run that a promotion has made due, and advance the active one.

    An outage ends the task: the next one starts in seconds.
    """
    start_due_run(task.app.database, task.app.registry)
    advance_run(task.app.database, task.app.inbox, task.app.registry, datetime.now(UTC))


@contextmanager
def _postponed(event: str) -> Iterator[None]:
    """Log an outage; the next run continues."""
    try:
        yield
    except Retryable as error:
        log.warning(event, reason=str(error))


def _read(task: Any, file: ReloadedFile[Content]) -> Content:
    """The content of a file; records in Redis whether it is invalid."""
    content = file.read()
    with suppress(RedisError):
        record_problem(task.app.inbox.redis, file.setting, file.problem)
    return content


@shared_task(name="triagem.alerts", bind=True)  # type: ignore[untyped-decorator]
@_postponed("alerts_postponed")
def alerts(task: Any) -> None:
    """Send the alerts that are due."""
    rules = _read(task, alerts_file())
    send_due_alerts(task.app.database, rules, channel_sender(rules.allowed_hosts))


@shared_task(name="triagem.watch", bind=True)  # type: ignore[untyped-decorator]
@_postponed("system_check_postponed")
def watch(task: Any) -> None:
    """Check the system; open and resolve system alerts."""
    check_system(task.app.database, task.app.inbox, MonitorSettings(), datetime.now(UTC))


@shared_task(name="triagem.deliver", bind=True)  # type: ignore[untyped-decorator]
@_postponed("results_postponed")
def deliver(task: Any) -> None:
    """Deliver results that are due to CRMs."""
    crm = _read(task, crm_file())
    sync_result_targets(task.app.database, crm.targets)
    if crm.targets:
        deliver_due(task.app.database, crm.destinations, Sender(crm.allowed_hosts).send)
