"""Runs the pipeline as a bootstep of the Celery *worker*: ping, remote control and warm shutdown work while the
model runs.

Not a bootstep of the consumer: Celery restarts those at every broker reconnect, and the pipeline with them.
"""

from collections.abc import Callable
from typing import Any

from celery import bootsteps

from triagem.worker.pipeline import Pipeline


def pipeline_step(build: Callable[[], Pipeline]) -> type[bootsteps.StartStopStep]:
    """A bootstep class that runs the pipeline returned by `build`."""

    class PipelineStep(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.components:Pool",)

        def __init__(self, parent: Any, **kwargs: Any) -> None:
            parent.pipeline = None
            super().__init__(parent, **kwargs)

        def start(self, parent: Any) -> None:
            parent.pipeline = pipeline = build()
            try:
                pipeline.start()
            except BaseException:
                pipeline.stop()
                raise

        def close(self, parent: Any) -> None:
            """First step of shutdown: stop fetching while Celery closes its own connections."""
            if parent.pipeline:
                parent.pipeline.supervisor.stopping.set()

        def stop(self, parent: Any) -> None:
            if parent.pipeline:
                parent.pipeline.stop()
                parent.pipeline = None

        terminate = stop

    return PipelineStep
