"""Runs a worker process: checks its requirements, builds the pipeline, and runs it inside a Celery worker.

`celery -A triagem.worker.app inspect ping` works: `app` is created on first access, for the configured servers.
"""

import gc
import importlib.util
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.beat import Scheduler
from celery.worker import state

from triagem import servers
from triagem.broker import WORKER_QUEUE, app_for_commands, broker_url, make_app, run_celery_worker
from triagem.contracts.errors import DatabaseUnavailable, InvalidInput
from triagem.contracts.model import Model
from triagem.db import Database
from triagem.db.revision import require_current
from triagem.worker.health import memory_limit_bytes
from triagem.worker.metrics import MEMORY_LIMIT, register_gpu_metrics
from triagem.worker.pipeline import Pipeline
from triagem.worker.settings import WorkerSettings


def run(settings: WorkerSettings) -> int:
    """Run on the configured servers until SIGTERM or SIGINT; returns the exit status, 1 if the pipeline failed.

    Waits until Redis, Postgres and a first model are available, but not for a migration: raises NotMigrated.
    """
    app, inbox, registry = make_app(broker_url()), servers.inbox(), servers.registry()
    load = loader(settings.engine)
    with servers.database() as database, suppress(DatabaseUnavailable):
        require_current(database)
    failed: list[BaseException | None] = []

    def build() -> Pipeline:
        def stop_process() -> None:
            failed.append(pipeline.supervisor.failure)
            state.should_stop = 1
            os.kill(os.getpid(), signal.SIGTERM)  # interrupts the poll of the main thread

        pipeline = Pipeline(
            inbox=inbox,
            database=Database(servers.database_url(), disable_seqscan=True),
            registry=registry,
            load=load,
            settings=settings,
            on_failure=stop_process,
        )
        return pipeline

    app.steps["worker"].add(pipeline_step(build))
    if settings.metrics.port:
        register_gpu_metrics()
        if limit := memory_limit_bytes():
            MEMORY_LIMIT.set(limit)
        settings.metrics.serve()
    status = run_celery_worker(app, WORKER_QUEUE, pool="solo")
    return 1 if failed else status


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
                parent.pipeline.request_stop()

        def stop(self, parent: Any) -> None:
            if parent.pipeline:
                parent.pipeline.stop()
                parent.pipeline = None

        terminate = stop

    return PipelineStep


def loader(path: str) -> Callable[[Path], Model]:
    """The function that loads a model version, given as `module:function`. It is imported when it is first called:
    without a model, tickets are stored without torch.

    Raises:
        InvalidInput: there is no such module; or, when it is called, the function cannot be imported.
    """
    module, _, name = path.partition(":")

    def refused(reason: object) -> InvalidInput:
        return InvalidInput(
            f"cannot import TRIAGEM_ENGINE={path}: {reason}; run `pip install 'triagem[engine]'` or set another one"
        )

    try:
        if not name or importlib.util.find_spec(module) is None:
            raise refused(f"no module {module!r}" if name else "expected module:function")
    except (ImportError, ValueError) as error:
        raise refused(error) from None

    def load(folder: Path) -> Model:
        try:
            function: Any = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise refused(error) from None
        # A full collection walks 0.3 s through the objects of torch and others, about once per 10,000 tickets, while
        # all threads wait. So objects that exist by now are left out until the next version is loaded.
        gc.unfreeze()
        model: Model = function(folder)
        gc.collect()
        gc.freeze()
        return model

    return load


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
        app = app_for_commands(lambda: make_app(broker_url()))
        app.steps["worker"].add(_NoPipeline)
        app.conf.beat_scheduler = _NoSchedule
        globals()["app"] = app
        return app
    raise AttributeError(name)
