"""The ops worker: what is done beside the pipe, a few times a day, in processes of their own that never load torch.

What is lost with the broker is done at the next time of the schedule; the truth stands in Postgres (INV-3, 23).
"""

import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from celery import Celery, bootsteps, current_app, signals
from celery.exceptions import SecurityWarning

from triagem.contracts.errors import DatabaseAway, TriagemError
from triagem.db import Database, DatabaseSettings
from triagem.db.deliveries import keep_targets
from triagem.db.upgrade import require_current
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.registry import Registry, RegistrySettings
from triagem.worker import health
from triagem.worker.app import OPS_QUEUE, ops_app, worth_saying
from triagem.worker.settings import OpsSettings

log = structlog.get_logger(__name__)


def run(
    *,
    broker_url: str,
    redis_url: str,
    database_url: str,
    registry_url: str,
    settings: OpsSettings,
    targets: Mapping[str, str],
) -> int:
    """Run until SIGTERM or SIGINT, which let a task end; returns the exit status.

    Waits for Redis and Postgres to come, but not for a migration: NotMigrated.

    Args:
        targets: where results go back to, as `triagem.db.deliveries.keep_targets` has it.
    """
    with Database(database_url) as database, suppress(DatabaseAway):
        require_current(database)
        keep_targets(database, targets)
    # To the processes, which are forked or, on macOS, started anew: these inherit nothing else.
    os.environ.update(
        TRIAGEM_REDIS_URL=redis_url, TRIAGEM_DATABASE_URL=database_url, TRIAGEM_REGISTRY_URL=registry_url
    )
    with ExitStack() as until_the_end:
        if settings.metrics_port:
            counted = until_the_end.enter_context(TemporaryDirectory(prefix="triagem-metrics-"))
            _expose(settings, counted, redis_url, database_url, registry_url)
        return _work(ops_app(broker_url, settings), settings)


def _expose(settings: OpsSettings, counted: str, redis_url: str, database_url: str, registry_url: str) -> None:
    # Read once, when prometheus-client is imported: nothing above imports it, and Celery imports what counts later.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = counted
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    from triagem.worker.expose import expose  # noqa: PLC0415
    from triagem.worker.stores import Stores  # noqa: PLC0415

    # A scrape is no reason to wait long.
    limits = DatabaseSettings(statement_timeout_s=5, lock_timeout_s=1)
    told = CollectorRegistry()
    MultiProcessCollector(told, counted)  # type: ignore[no-untyped-call]
    ProcessCollector(registry=told)
    told.register(Stores(Inbox(connect(redis_url)), lambda: Database(database_url, limits), Registry(registry_url)))
    expose(settings.metrics_host, settings.metrics_port, told)


def _work(app: Celery, settings: OpsSettings) -> int:
    if settings.ops_heartbeat_file:
        app.steps["worker"].add(liveness(settings.ops_heartbeat_file))
    # Root is no danger without pickle, which this application refuses.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # A receiver, any, keeps Celery from setting up logging: it would raise the level to WARNING.
    signals.setup_logging.connect(_keep_logging)
    worker = app.Worker(
        pool="prefork",
        concurrency=1,  # more by more ops workers
        queues=[OPS_QUEUE],
        without_gossip=True,
        without_mingle=True,
        hostname=f"ops-{os.getpid()}@{socket.gethostname()}",
        quiet=True,
    )
    logging.getLogger("celery.worker.strategy").addFilter(worth_saying)
    signals.worker_ready.connect(_say_ready)
    worker.start()
    return int(worker.exitcode or 0)


def liveness(file: Path) -> type[bootsteps.StartStopStep]:
    """A bootstep that keeps a heartbeat file: its age is how long ago the event loop went round. While Redis is away
    there is no loop, only waiting, and that is well (INV-22)."""

    class Liveness(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.components:Timer",)

        def start(self, parent: Any) -> None:
            self._hear()
            parent.timer.call_repeatedly(1.0, self._hear)
            self.stopping = threading.Event()
            self.thread = threading.Thread(target=self._report, args=(parent,), name="heartbeat", daemon=True)
            self.thread.start()

        def stop(self, _: Any) -> None:
            self.stopping.set()
            self.thread.join(2.0)

        terminate = stop

        def _hear(self) -> None:
            self.heard_at = time.time()

        def _report(self, parent: Any) -> None:
            while not self.stopping.wait(1.0):
                if getattr(parent.consumer, "connection", None) is None:
                    self._hear()
                health.write(file, health.READY, self.heard_at)
            file.unlink(missing_ok=True)

    return Liveness


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _open_rooms(**_: object) -> None:
    """In each process that runs tasks: a pool of connections must not be shared by a fork."""
    url, inbox = DatabaseSettings().database_url, InboxSettings()
    assert url
    assert inbox.redis_url
    logging.getLogger("celery.app.trace").addFilter(without_words)
    logging.getLogger("celery.app.trace").addFilter(worth_saying)
    current_app.database = Database(url.get_secret_value())
    current_app.inbox = Inbox(connect(inbox.redis_url.get_secret_value()), inbox)
    current_app.registry = Registry(RegistrySettings().registry_url)


def without_words(record: logging.LogRecord) -> bool:
    """Celery says of a task that failed what the exception says, and that may be a customer's words."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and isinstance(record.args, dict) and "exc" in record.args:
        said = str(error) if isinstance(error, TriagemError) else type(error).__name__
        record.args = {**record.args, "exc": said}
    return True


def _say_ready(**_: object) -> None:
    log.info("waiting for tasks", queue=OPS_QUEUE)


def _keep_logging(**_: object) -> None:
    """Logging was set up by the entry point."""
