"""A worker process from its settings: checks what it needs, builds the pipe, runs Celery around it."""

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

from triagem.contracts.errors import DatabaseAway, InvalidInput
from triagem.contracts.model import Model
from triagem.db import Database
from triagem.db.upgrade import require_current
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.registry import Registry
from triagem.worker.app import QUEUE, make_app
from triagem.worker.expose import expose
from triagem.worker.gpu import watch_gpus
from triagem.worker.memory import limit_bytes
from triagem.worker.metrics import MEMORY_LIMIT
from triagem.worker.pipeline import Pipeline
from triagem.worker.puller import puller
from triagem.worker.settings import WorkerSettings, broker_beside


def run(
    *, redis_url: str, database_url: str, registry_url: str, settings: WorkerSettings, inbox_settings: InboxSettings
) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status, 1 if the pipe failed.

    Waits for Redis, Postgres and a first model to come, but not for a migration: NotMigrated.
    """
    registry = Registry(registry_url)
    load = loader(settings.engine)
    with Database(database_url) as database, suppress(DatabaseAway):
        require_current(database)
    failed: list[BaseException | None] = []

    def build() -> Pipeline:
        def stop_process() -> None:
            failed.append(pipeline.supervisor.failure)
            state.should_stop = 1
            os.kill(os.getpid(), signal.SIGTERM)  # wakes the main thread out of its poll

        pipeline = Pipeline(
            inbox=Inbox(connect(redis_url), inbox_settings),
            database=Database(database_url, by_key=True),
            registry=registry,
            load=load,
            settings=settings,
            on_failure=stop_process,
        )
        return pipeline

    broker = settings.broker_url.get_secret_value() if settings.broker_url else broker_beside(redis_url)
    app = make_app(broker)
    app.steps["worker"].add(puller(build))
    if settings.metrics_port:
        watch_gpus()
        if limit := limit_bytes():
            MEMORY_LIMIT.set(limit)
        expose(settings.metrics_host, settings.metrics_port)
    # Root is no danger without pickle, which this application refuses.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # A receiver, any, keeps Celery from setting up logging: it would raise the level to WARNING.
    signals.setup_logging.connect(_keep_logging)
    worker = app.Worker(
        pool="solo",
        concurrency=1,
        queues=[QUEUE],
        without_gossip=True,
        without_mingle=True,
        hostname=f"pipe-{os.getpid()}@{socket.gethostname()}",
        quiet=True,
    )
    worker.start()
    return 1 if failed else int(worker.exitcode or 0)


def _keep_logging(**_: object) -> None:
    """Logging was set up by the entry point."""


def loader(path: str) -> Callable[[Path], Model]:
    """The function that loads a model version, by its name `module:function`.

    Raises:
        InvalidInput: there is no such function.
    """
    module, _, name = path.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(f"TRIAGEM_ENGINE={path}: {error}. `pip install 'triagem[engine]'`?") from None
    return found  # type: ignore[no-any-return]
