"""The pipe as a bootstep of the Celery *worker*: ping, remote control and warm shutdown go on while the model runs.

Not of the consumer: that one is torn down at every broker reconnect, and the pipe with it.
"""

from collections.abc import Callable
from typing import Any

from celery import bootsteps

from triagem.worker.pipeline import Pipeline


def puller(build: Callable[[], Pipeline]) -> type[bootsteps.StartStopStep]:
    """A bootstep class that runs the pipeline that `build` returns."""

    class Puller(bootsteps.StartStopStep):  # type: ignore[misc]
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
            """The first thing at shutdown: take nothing more, while Celery closes its own connections."""
            if parent.pipeline:
                parent.pipeline.supervisor.stopping.set()

        def stop(self, parent: Any) -> None:
            if parent.pipeline:
                parent.pipeline.stop()
                parent.pipeline = None

        terminate = stop

    return Puller
