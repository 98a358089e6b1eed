"""Scheduler of the ops tasks: one process that enqueues each task at its time."""

import logging
import signal
import sys
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import structlog
from celery import beat
from celery.schedules import crontab, schedule

from triagem.worker.app import OPS_QUEUE, is_worth_logging, ops_app
from triagem.worker.settings import OpsSettings

log = structlog.get_logger(__name__)

# A task that no ops worker has started by then expires; the next scheduled one replaces it.
_MAX_DELAY: Final = timedelta(hours=12)

_SWEEP_EVERY: Final = "300s"
_SEARCH_EVERY: Final = "5s"


def parse_schedule(time: str) -> crontab | schedule:
    """`HH:MM` means daily at that time, `90s` means every 90 seconds."""
    if time.endswith("s"):
        return schedule(timedelta(seconds=int(time[:-1])))
    hour, minute = time.split(":")
    return crontab(hour=hour, minute=minute)


def schedule_entries(settings: OpsSettings) -> dict[str, dict[str, Any]]:
    """The schedule, in the format of Celery's `beat_schedule`."""
    return {
        task: {
            "task": task,
            "schedule": parse_schedule(time),
            "options": {"queue": OPS_QUEUE, "expires": _expires_s(time)},
        }
        for task, time in _times(settings).items()
    }


def run(*, broker_url: str, settings: OpsSettings) -> None:
    """Run until SIGTERM or SIGINT. Two schedulers at once are harmless: tasks may run twice."""
    app = ops_app(broker_url, settings)
    app.conf.update(
        beat_schedule=schedule_entries(settings),
        beat_sync_every=1,
        # Wait while Redis is unavailable: a task that could not be enqueued would be skipped.
        task_publish_retry_policy={"max_retries": None, "interval_max": 5},
    )
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: sys.exit(0))
    logging.getLogger("celery.beat").addFilter(is_worth_logging)
    log.info(
        "schedule",
        timezone=settings.timezone,
        **{name: str(entry["schedule"]) for name, entry in schedule_entries(settings).items()},
    )
    with TemporaryDirectory(prefix="triagem-beat-") as folder:
        file = settings.beat_schedule or Path(folder) / "schedule"
        beat.Service(app, schedule_filename=str(file)).start()


def _expires_s(time: str) -> float:
    interval = timedelta(seconds=int(time[:-1])) if time.endswith("s") else timedelta(days=1)
    return min(interval, _MAX_DELAY).total_seconds()


def _times(settings: OpsSettings) -> dict[str, str]:
    return {
        "triagem.drift": settings.drift_at,
        "triagem.due": settings.training_due_at,
        "triagem.sweep": _SWEEP_EVERY,
        "triagem.search": _SEARCH_EVERY,
        "triagem.deliver": settings.deliver_every,
        "triagem.alerts": settings.alerts_every,
        "triagem.watch": settings.monitor_every,
        "triagem.reclassify": settings.reclassify_at,
        "triagem.reclassify.pages": settings.reclassify_every,
    }
