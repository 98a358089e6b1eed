"""The Celery application of `triagem ops` and `triagem beat`, and the schedule of its tasks.

`celery -A triagem.ops.app inspect active` works: `app` is created on first access, for the configured servers.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from celery import Celery

from triagem.broker import OPS_QUEUE, app_for_commands, broker_url, make_app
from triagem.ops.settings import OpsSettings, parse_schedule, shortest_interval

# By name: Celery imports them when a worker starts. The first one opens the connections that tasks need.
_TASK_MODULES: Final = (
    "triagem.ops.run", "triagem.ops.metrics", "triagem.ops.tasks", "triagem.trainer.monitor.tasks",
)  # fmt: skip

# A task that no ops worker has started by then expires; the next scheduled one replaces it.
_MAX_DELAY: Final = timedelta(hours=12)

# Beat waits while Redis is unavailable: a task that could not be enqueued would be skipped.
_RETRY_POLICY: Final = {"max_retries": None, "interval_max": 5}

# Tasks that run every few seconds: logging that each was sent, received and finished would fill the log.
_FREQUENT: Final = frozenset(
    {"triagem.alerts", "triagem.deliver", "triagem.models", "triagem.reclassify.pages", "triagem.watch"}
)


def ops_app(url: str, settings: OpsSettings) -> Celery:
    """The Celery application of `triagem ops` and `triagem beat`. Raises InvalidInput."""
    app = make_app(url)
    app.conf.update(
        include=_TASK_MODULES,
        task_default_queue=OPS_QUEUE,
        task_time_limit=180,  # below `visibility_timeout`, or the broker would deliver a running task twice
        # A task that crashes its process repeatedly fails after its `max_retries`. Celery before 5.7 does not know
        # this setting and requeues such a task until it expires.
        task_retry_on_worker_lost=True,
        result_expires=None,  # no results are stored, so Celery's clean-up task is not needed
        timezone=settings.timezone,
        beat_schedule=schedule_entries(settings),
        beat_sync_every=1,
        beat_schedule_filename=str(settings.beat_schedule or "celerybeat-schedule"),  # or Celery's default
    )
    return app


def is_worth_logging(record: logging.LogRecord) -> bool:
    """A filter for Celery's loggers: drops routine messages about frequent tasks, keeps warnings and errors."""
    arguments = record.args.values() if isinstance(record.args, Mapping) else record.args or ()
    return record.levelno > logging.INFO or _FREQUENT.isdisjoint(map(str, arguments))


def schedule_entries(settings: OpsSettings) -> dict[str, dict[str, Any]]:
    """The schedule, in the format of Celery's `beat_schedule`. Tasks whose setting is `off` are left out."""
    settings_of_tasks = {
        "triagem.drift": settings.drift_at,
        "triagem.due": settings.training_due_at,
        "triagem.accuracy": "900s",
        "triagem.retrain": settings.retrain_at,
        "triagem.retain": "04:30",
        "triagem.sweep": "300s",
        "triagem.search": "5s",
        "triagem.models": "60s",
        "triagem.deliver": settings.deliver_every,
        "triagem.alerts": settings.alerts_every,
        "triagem.watch": settings.monitor_every,
        "triagem.reclassify": settings.reclassify_at,
        "triagem.reclassify.pages": settings.reclassify_every,
    }
    schedules = {task: parse_schedule(setting) for task, setting in settings_of_tasks.items()}
    return {
        task: {
            "task": task,
            "schedule": schedule,
            "options": {
                "queue": OPS_QUEUE,
                "expires": min(shortest_interval(schedule), _MAX_DELAY).total_seconds(),
                "retry_policy": _RETRY_POLICY,
            },
        }
        for task, schedule in schedules.items()
        if schedule
    }


def __getattr__(name: str) -> Any:
    if name == "app":  # not at import time, when nothing may be read from the environment
        globals()["app"] = app = app_for_commands(lambda: ops_app(broker_url(), OpsSettings()))
        return app
    raise AttributeError(name)
