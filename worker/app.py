"""Celery applications of the worker and of ops: JSON only, late acknowledgement, bounded waits.

Celery provides processes, signals and remote control; tickets never travel as Celery messages.
`celery -A triagem.worker.app inspect ping` works: `app` is created on first access, from the environment.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from celery import Celery

from triagem.inbox import InboxSettings
from triagem.worker.settings import OpsSettings, WorkerSettings, broker_for_celery, default_broker_url

# Workers fetch from the inbox; nothing is ever sent to this queue. A Redis key: ACLs of running systems name it.
QUEUE: Final = "pipe"
OPS_QUEUE: Final = "ops"
# Task modules by name, because packages of one layer do not import each other. The first opens what tasks need.
_TASK_MODULES: Final = (
    "triagem.worker.ops",
    "triagem.worker.task_metrics",
    "triagem.worker.tasks",
    "triagem.trainer.tasks",
    "triagem.alerts.tasks",
    "triagem.producer.result_delivery.tasks",
    "triagem.producer.reclassify.tasks",
)


# Tasks that run every few seconds: logging that each was sent, received and finished would fill the log.
_FREQUENT: Final = frozenset({"triagem.alerts", "triagem.deliver", "triagem.reclassify.pages", "triagem.watch"})


def is_worth_logging(record: logging.LogRecord) -> bool:
    """A filter for Celery's loggers: drops routine messages about frequent tasks, keeps warnings and errors."""
    arguments = record.args.values() if isinstance(record.args, Mapping) else record.args or ()
    return record.levelno > logging.INFO or _FREQUENT.isdisjoint(map(str, arguments))


def make_app(broker_url: str) -> Celery:
    """A Celery application on this broker, or on Celery's default if the URL is empty. Raises InvalidInput."""
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
        include=[*app.conf.include, *_TASK_MODULES],
        task_default_queue=OPS_QUEUE,
        task_time_limit=180,  # below `visibility_timeout`, or the broker would deliver a running task twice
        # A task that crashes its process repeatedly fails after its `max_retries`. Celery before 5.7 does not know
        # this setting and requeues such a task until it expires.
        task_retry_on_worker_lost=True,
        result_expires=None,  # no results are stored, so Celery's clean-up task is not needed
        timezone=settings.timezone,
    )
    return app


def __getattr__(name: str) -> Any:
    if name == "app":
        import triagem.worker.control  # noqa: F401, PLC0415 - registers our commands for `celery inspect`

        # Not at import time, when nothing may be read from the environment.
        broker, inbox = WorkerSettings().broker_url, InboxSettings().redis_url
        url = broker.get_secret_value() if broker else default_broker_url(inbox.get_secret_value()) if inbox else ""
        return make_app(url)
    raise AttributeError(name)
