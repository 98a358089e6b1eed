"""Runs a worker process: checks its requirements, builds the pipeline, and runs it inside a Celery worker."""

import importlib
import os
import signal
import socket
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import signals
from celery.exceptions import SecurityWarning
from celery.worker import state

from triagem.contracts.errors import DatabaseUnavailable, InvalidInput
from triagem.contracts.model import Model
from triagem.db import Database
from triagem.db.upgrade import require_current
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.registry import Registry
from triagem.worker.app import QUEUE, make_app
from triagem.worker.bootstep import pipeline_step
from triagem.worker.expose import expose_metrics
from triagem.worker.gpu import register_gpu_metrics
from triagem.worker.memory import limit_bytes
from triagem.worker.metrics import MEMORY_LIMIT
from triagem.worker.pipeline import Pipeline
from triagem.worker.settings import WorkerSettings, default_broker_url


def run(
    *, redis_url: str, database_url: str, registry_url: str, settings: WorkerSettings, inbox_settings: InboxSettings
) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status, 1 if the pipeline failed.

    Waits until Redis, Postgres and a first model are available, but not for a migration: raises NotMigrated.
    """
    registry = Registry(registry_url)
    load = loader(settings.engine)
    with Database(database_url) as database, suppress(DatabaseUnavailable):
        require_current(database)
    failed: list[BaseException | None] = []

    def build() -> Pipeline:
        def stop_process() -> None:
            failed.append(pipeline.supervisor.failure)
            state.should_stop = 1
            os.kill(os.getpid(), signal.SIGTERM)  # interrupts the poll of the main thread

        pipeline = Pipeline(
            inbox=Inbox(connect(redis_url), inbox_settings),
            database=Database(database_url, disable_seqscan=True),
            registry=registry,
            load=load,
            settings=settings,
            on_failure=stop_process,
        )
        return pipeline

    broker = settings.broker_url.get_secret_value() if settings.broker_url else default_broker_url(redis_url)
    app = make_app(broker)
    app.steps["worker"].add(pipeline_step(build))
    if settings.metrics_port:
        register_gpu_metrics()
        if limit := limit_bytes():
            MEMORY_LIMIT.set(limit)
        expose_metrics(settings.metrics_host, settings.metrics_port)
    # Running as root is safe without pickle, which this application rejects.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # Any receiver keeps Celery from configuring logging, which would raise the level to WARNING.
    signals.setup_logging.connect(_keep_logging)
    worker = app.Worker(
        pool="solo",
        concurrency=1,
        queues=[QUEUE],
        without_gossip=True,
        without_mingle=True,
        hostname=f"{QUEUE}-{os.getpid()}@{socket.gethostname()}",  # prefix of Redis keys, as in docs/security.md
        quiet=True,
    )
    worker.start()
    return 1 if failed else int(worker.exitcode or 0)


def _keep_logging(**_: object) -> None:
    """The entry point has already configured logging."""


def loader(path: str) -> Callable[[Path], Model]:
    """The function that loads a model version, given as `module:function`.

    Raises:
        InvalidInput: the function cannot be imported.
    """
    module, _, name = path.partition(":")
    try:
        function: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(
            f"cannot import TRIAGEM_ENGINE={path}: {error}; run `pip install 'triagem[engine]'` or set another one"
        ) from None
    return function  # type: ignore[no-any-return]
