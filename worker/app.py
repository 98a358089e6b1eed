"""The worker's Celery application, for Celery's own commands.

`celery -A triagem.worker.app inspect ping` works: `app` is created on first access, for the configured servers.
"""

from typing import Any

from celery import bootsteps
from celery.beat import Scheduler

from triagem.broker import broker_url, make_app


class _NoPipeline(bootsteps.Step):  # type: ignore[misc]
    """Ends `celery -A triagem.worker.app worker`, which would run without a pipeline."""

    def __init__(self, _: Any, **__: Any) -> None:
        raise SystemExit("start workers with `triagem worker`")


class _NoSchedule(Scheduler):  # type: ignore[misc]
    """Ends `celery -A triagem.worker.app beat`, which would schedule nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise SystemExit("start the schedule with `triagem beat` or `celery -A triagem.ops.app beat`")


def __getattr__(name: str) -> Any:
    if name == "app":  # not at import time, when nothing may be read from the environment
        app = make_app(broker_url())
        app.steps["worker"].add(_NoPipeline)
        app.conf.beat_scheduler = _NoSchedule
        globals()["app"] = app
        return app
    raise AttributeError(name)
