"""The clock of the ops tasks: one process that puts each of them on the queue when its time has come."""

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

from triagem.worker.app import OPS_QUEUE, ops_app, worth_saying
from triagem.worker.settings import OpsSettings

log = structlog.get_logger(__name__)

# A run that no ops worker has begun by then is left to the next one. It is not left waiting beside it.
_MOST_LATE: Final = timedelta(hours=12)

_SWEEP: Final = "300s"
_SEARCH: Final = "5s"


def when(time: str) -> crontab | schedule:
    """`HH:MM` is daily, `90s` is after every so many seconds."""
    if time.endswith("s"):
        return schedule(timedelta(seconds=int(time[:-1])))
    hour, minute = time.split(":")
    return crontab(hour=hour, minute=minute)


def entries(settings: OpsSettings) -> dict[str, dict[str, Any]]:
    """What is to be done when, as Celery's `beat_schedule`."""
    return {
        task: {"task": task, "schedule": when(time), "options": {"queue": OPS_QUEUE, "expires": _late(time)}}
        for task, time in _times(settings).items()
    }


def run(*, broker_url: str, settings: OpsSettings) -> None:
    """Run until SIGTERM or SIGINT. Two at once do no harm: tasks may run twice."""
    app = ops_app(broker_url, settings)
    app.conf.update(
        beat_schedule=entries(settings),
        beat_sync_every=1,
        # While Redis is away beat waits: a run that could not be put on the queue would be left out.
        task_publish_retry_policy={"max_retries": None, "interval_max": 5},
    )
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: sys.exit(0))
    logging.getLogger("celery.beat").addFilter(worth_saying)
    log.info(
        "schedule",
        timezone=settings.timezone,
        **{name: str(one["schedule"]) for name, one in entries(settings).items()},
    )
    with TemporaryDirectory(prefix="triagem-beat-") as folder:
        file = settings.beat_schedule or Path(folder) / "schedule"
        beat.Service(app, schedule_filename=str(file)).start()


def _late(time: str) -> float:
    every = timedelta(seconds=int(time[:-1])) if time.endswith("s") else timedelta(days=1)
    return min(every, _MOST_LATE).total_seconds()


def _times(settings: OpsSettings) -> dict[str, str]:
    return {
        "triagem.drift": settings.drift_at,
        "triagem.due": settings.due_at,
        "triagem.sweep": _SWEEP,
        "triagem.search": _SEARCH,
        "triagem.deliver": settings.deliver_at,
        "triagem.alerts": settings.alerts_at,
        "triagem.watch": settings.watch_at,
        "triagem.reclassify": settings.reclassify_at,
        "triagem.reclassify.pages": settings.reclassify_every,
    }
