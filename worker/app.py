"""The Celery applications, of the pipe and of ops: JSON only, late acknowledgement, bounded waits.

Celery carries the processes, their signals and remote control; tickets never travel as Celery messages.
`celery -A worker.app inspect ping` works: `app` is made when asked for, from the environment.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from celery import Celery

from triagem.inbox import InboxSettings
from triagem.worker.settings import OpsSettings, WorkerSettings, broker_beside, broker_for_celery

QUEUE: Final = "pipe"  # a pipe worker takes its work from the inbox; nothing is ever sent to this queue
OPS_QUEUE: Final = "ops"
# Tasks by their module's name: rooms of one floor do not import each other. The first one opens what tasks need.
_OPS: Final = (
    "triagem.worker.ops",
    "triagem.worker.task_metrics",
    "triagem.worker.tasks",
    "triagem.trainer.tasks",
    "triagem.alerts.tasks",
    "triagem.producer.back.tasks",
    "triagem.producer.reclassify.tasks",
)


# Done every few seconds: that one was sent, came and ended would fill the log.
_FREQUENT: Final = frozenset({"triagem.alerts", "triagem.deliver", "triagem.reclassify.pages", "triagem.watch"})


def worth_saying(record: logging.LogRecord) -> bool:
    """A filter for Celery's loggers: routine about frequent tasks is left out, what goes wrong is not."""
    about = record.args.values() if isinstance(record.args, Mapping) else record.args or ()
    return record.levelno > logging.INFO or _FREQUENT.isdisjoint(map(str, about))


def make_app(broker_url: str) -> Celery:
    """A Celery application on this broker; without a URL, Celery's own default. Raises InvalidInput."""
    broker = broker_for_celery(broker_url) if broker_url else None
    app = Celery("triagem", broker=broker, include=["triagem.worker.control"])
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue=QUEUE,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": 240,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 30,
        },
        timezone="UTC",
    )
    return app


def ops_app(broker_url: str, settings: OpsSettings) -> Celery:
    """The Celery application of `triagem ops` and `triagem beat`. Raises InvalidInput."""
    app = make_app(broker_url)
    app.conf.update(
        include=[*app.conf.include, *_OPS],
        task_default_queue=OPS_QUEUE,
        task_time_limit=180,  # less than `visibility_timeout`: nobody is given what another is still at work on
        # A task that ends its process again and again is given up after its `max_retries`. Celery before 5.7 does
        # not know the setting, and puts such a task back until it expires.
        task_retry_on_worker_lost=True,
        result_expires=None,  # nothing is stored, so there is nothing for Celery's own clean-up task
        timezone=settings.timezone,
    )
    return app


def __getattr__(name: str) -> Any:
    if name == "app":
        import triagem.worker.control  # noqa: F401, PLC0415 - `celery inspect` must know our commands

        # Not at import: nothing is read from the environment then.
        broker, inbox = WorkerSettings().broker_url, InboxSettings().redis_url
        url = broker.get_secret_value() if broker else broker_beside(inbox.get_secret_value()) if inbox else ""
        return make_app(url)
    raise AttributeError(name)
