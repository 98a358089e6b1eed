"""The ops worker: runs scheduled and periodic tasks in separate processes that never load torch.

Tasks lost with the broker run at their next scheduled time; the state of record is in Postgres (INV-3, 23).
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

from triagem.contracts.errors import DatabaseUnavailable, TriagemError
from triagem.db import Database, DatabaseSettings
from triagem.db.deliveries import sync_result_targets
from triagem.db.upgrade import require_current
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.registry import Registry, RegistrySettings
from triagem.worker import health
from triagem.worker.app import OPS_QUEUE, is_worth_logging, ops_app
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
    """Run until SIGTERM or SIGINT, which let the current task finish; returns the exit status.

    Waits until Redis and Postgres are available, but not for a migration: raises NotMigrated.

    Args:
        targets: where results are delivered to; see `triagem.db.deliveries.sync_result_targets`.
    """
    with Database(database_url) as database, suppress(DatabaseUnavailable):
        require_current(database)
        sync_result_targets(database, targets)
    # For the child processes: forked, or on macOS spawned, which inherit nothing else.
    os.environ.update(
        TRIAGEM_REDIS_URL=redis_url, TRIAGEM_DATABASE_URL=database_url, TRIAGEM_REGISTRY_URL=registry_url
    )
    with ExitStack() as stack:
        if settings.metrics_port:
            counters = stack.enter_context(TemporaryDirectory(prefix="triagem-metrics-"))
            _serve_metrics(settings, counters, redis_url, database_url, registry_url)
        return _run_worker(ops_app(broker_url, settings), settings)


def _serve_metrics(
    settings: OpsSettings, counters: str, redis_url: str, database_url: str, registry_url: str
) -> None:
    # prometheus-client reads this at import: nothing above imports it, and Celery imports the counters later.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = counters
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    from triagem.worker.expose import expose_metrics  # noqa: PLC0415
    from triagem.worker.store_metrics import StoreCollector  # noqa: PLC0415

    # A scrape must not wait long.
    limits = DatabaseSettings(statement_timeout_s=5, lock_timeout_s=1)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, counters)  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    registry.register(
        StoreCollector(Inbox(connect(redis_url)), lambda: Database(database_url, limits), Registry(registry_url))
    )
    expose_metrics(settings.metrics_host, settings.metrics_port, registry)


def _run_worker(app: Celery, settings: OpsSettings) -> int:
    if settings.ops_heartbeat_file:
        app.steps["worker"].add(heartbeat_step(settings.ops_heartbeat_file))
    # Running as root is safe without pickle, which this application rejects.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # Any receiver keeps Celery from configuring logging, which would raise the level to WARNING.
    signals.setup_logging.connect(_keep_logging)
    worker = app.Worker(
        pool="prefork",
        concurrency=1,  # for more, start more ops workers
        queues=[OPS_QUEUE],
        without_gossip=True,
        without_mingle=True,
        hostname=f"ops-{os.getpid()}@{socket.gethostname()}",
        quiet=True,
    )
    logging.getLogger("celery.worker.strategy").addFilter(is_worth_logging)
    signals.worker_ready.connect(_log_ready)
    worker.start()
    return int(worker.exitcode or 0)


def heartbeat_step(file: Path) -> type[bootsteps.StartStopStep]:
    """A bootstep that writes a heartbeat file: its age is the time since the last turn of the event loop.

    While Redis is unavailable the loop does not run; the worker waits, which counts as healthy (INV-22).
    """

    class HeartbeatStep(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.components:Timer",)

        def start(self, parent: Any) -> None:
            self._beat()
            parent.timer.call_repeatedly(1.0, self._beat)
            self.stopping = threading.Event()
            self.thread = threading.Thread(target=self._write_file, args=(parent,), name="heartbeat", daemon=True)
            self.thread.start()

        def stop(self, _: Any) -> None:
            self.stopping.set()
            self.thread.join(2.0)

        terminate = stop

        def _beat(self) -> None:
            self.beat_at = time.time()

        def _write_file(self, parent: Any) -> None:
            while not self.stopping.wait(1.0):
                if getattr(parent.consumer, "connection", None) is None:
                    self._beat()
                health.write(file, health.READY, self.beat_at)
            file.unlink(missing_ok=True)

    return HeartbeatStep


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _open_connections(**_: object) -> None:
    """Open connections in each task process, because a connection pool must not be shared across a fork."""
    url, inbox = DatabaseSettings().database_url, InboxSettings()
    assert url
    assert inbox.redis_url
    logging.getLogger("celery.app.trace").addFilter(redact_exception)
    logging.getLogger("celery.app.trace").addFilter(is_worth_logging)
    current_app.database = Database(url.get_secret_value())
    current_app.inbox = Inbox(connect(inbox.redis_url.get_secret_value()), inbox)
    current_app.registry = Registry(RegistrySettings().registry_url)


def redact_exception(record: logging.LogRecord) -> bool:
    """A logging filter: replaces the exception text of failed tasks, because it may quote a customer's message."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and isinstance(record.args, dict) and "exc" in record.args:
        safe = str(error) if isinstance(error, TriagemError) else type(error).__name__
        record.args = {**record.args, "exc": safe}
    return True


def _log_ready(**_: object) -> None:
    log.info("ops_ready", queue=OPS_QUEUE)


def _keep_logging(**_: object) -> None:
    """The entry point has already configured logging."""
