"""Runs the ops worker, whose task processes never load torch, and beat, the one process that schedules its tasks.

The main process monitors its liveness, and outages that its tasks cannot report. Tasks lost with the broker run at
their next scheduled time; the state of record is in Postgres (INV-3, 23).
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, Final

import structlog
from celery import Celery, beat, bootsteps, current_app, signals
from celery.worker import state
from kombu.exceptions import OperationalError
from redis import RedisError

from triagem import servers
from triagem.broker import OPS_QUEUE, broker_url, run_celery_worker
from triagem.contracts.errors import DatabaseUnavailable, TriagemError
from triagem.contracts.temporary_folder import temporary_folder
from triagem.db import Database, DatabaseSettings
from triagem.db.outbox.alerts import EndedOutage, record_outage
from triagem.db.outbox.deliveries import sync_result_targets
from triagem.db.revision import require_current
from triagem.inbox import connect
from triagem.inbox.client import redis_errors
from triagem.notify.outage import OutageWatch
from triagem.ops.app import is_worth_logging, ops_app
from triagem.ops.heartbeat import record_completed
from triagem.ops.settings import OpsSettings
from triagem.ops.tasks import alerts_file, crm_file
from triagem.process import read_secret_files
from triagem.worker import health
from triagem.worker.failures import safe_reason

_NO_TASK_S: Final = 600.0


class TaskProgress:
    """The time of the last completed task, as Celery's main process counts them.

    `alive_at` is that time too, but also advances while there is no task to complete, or no Redis (INV-22).
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._completed = self._count()
        self.completed_at = self.alive_at = clock()

    def update(self) -> None:
        """Read the counts. Called from the event loop, so that a worker whose loop hangs does not count as alive."""
        completed = self._count()
        if completed != self._completed:
            self._completed, self.completed_at = completed, self._clock()
            self.alive_at = self.completed_at
        if not state.active_requests:
            self.alive()

    def alive(self) -> None:
        """Record that the worker is alive now."""
        self.alive_at = self._clock()

    @staticmethod
    def _count() -> int:
        return int(sum(state.total_count.values())) - len(state.active_requests)


def monitored(
    settings: OpsSettings, checks: Mapping[str, Callable[[], bool]], record: Callable[[EndedOutage], object]
) -> type[bootsteps.StartStopStep]:
    """A bootstep that writes the heartbeat file, if there is one, and sends alerts about outages.

    The file's age is the time since the last completed task, while there is one to complete.
    `checks`: further checks for `OutageWatch`, in addition to `no-task`; it calls `record` with each ended outage.
    """

    class MonitoredStep(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.components:Timer",)

        def __init__(self, parent: Any, **kwargs: Any) -> None:
            super().__init__(parent, **kwargs)
            self.stopping, self.threads = threading.Event(), list[threading.Thread]()

        def start(self, parent: Any) -> None:
            progress = TaskProgress()
            parent.timer.call_repeatedly(1.0, progress.update)

            def has_completed_one() -> bool:
                return time.time() - progress.completed_at < _NO_TASK_S

            def keep_up() -> None:
                while not self.stopping.wait(1.0):
                    if getattr(parent.consumer, "connection", None) is None:  # the event loop does not run
                        progress.alive()
                    if settings.ops_heartbeat_file:
                        health.write(settings.ops_heartbeat_file, health.READY, progress.alive_at)

            watched = {**checks, "no-task": has_completed_one}
            watch = OutageWatch(watched, after_s=settings.outage_s, rules=alerts_file().read, record=record)
            for name, work in (("heartbeat", keep_up), ("outages", lambda: watch.run(self.stopping))):
                self.threads.append(threading.Thread(target=work, name=name, daemon=True))
                self.threads[-1].start()

        def stop(self, _: Any) -> None:
            self.stopping.set()
            for thread in self.threads:
                thread.join(2.0)
            if settings.ops_heartbeat_file:
                settings.ops_heartbeat_file.unlink(missing_ok=True)

        terminate = stop

    return MonitoredStep


def short_limits() -> DatabaseSettings:
    """Limits for a process that must not wait long."""
    return DatabaseSettings(statement_timeout_s=5, lock_timeout_s=1)


def answers(ask: Callable[[], object]) -> bool:
    """Whether a call succeeds."""
    try:
        ask()
    except TriagemError:
        return False
    return True


def store_outage(database_url: str, outage: EndedOutage) -> None:
    """Store an outage that has ended, without keeping a connection, as `ask_postgres`."""
    with Database(database_url, short_limits()) as database:
        record_outage(database, outage)


def ask_postgres(database_url: str) -> None:
    """Raise DatabaseUnavailable if Postgres does not answer. The process forks, so it must keep no connection."""
    with Database(database_url, short_limits()) as database:
        database.scalar_one("SELECT 1")


log = structlog.get_logger(__name__)

_RARE_S: Final = 3600  # a task with at least this interval, which is its message's expiry, is rare
MAX_QUEUED: Final = 50  # messages: an ops worker that is alive takes each within seconds


def run_worker(settings: OpsSettings, targets: Mapping[str, str]) -> int:
    """Run on the configured servers until SIGTERM or SIGINT, which let the current task finish; returns the status.

    Waits until Redis and Postgres are available, but not for a migration: raises NotMigrated.
    `targets`: see `triagem.db.outbox.deliveries.sync_result_targets`.
    """
    redis_url, database_url = servers.redis_url(), servers.database_url()
    crm_file()
    alerts_file()
    with servers.database() as database:
        try:
            require_current(database)
            sync_result_targets(database, targets)
        except DatabaseUnavailable as error:
            log.warning("service_unavailable", reason=str(error))
    # For the child processes. They are forked, or spawned on macOS, where they inherit only the environment.
    os.environ.update(TRIAGEM_REDIS_URL=redis_url, TRIAGEM_DATABASE_URL=database_url)
    with ExitStack() as stack:
        if settings.metrics.port:
            counters = stack.enter_context(temporary_folder("triagem-metrics-"))
            _serve_metrics(settings, str(counters))
        app = ops_app(broker_url(), settings)
        checks = {
            "redis": partial(answers, redis_errors()(connect(redis_url).ping)),
            "postgres": partial(answers, partial(ask_postgres, database_url)),
        }
        app.steps["worker"].add(monitored(settings, checks, partial(store_outage, database_url)))
        logging.getLogger("celery.worker.strategy").addFilter(is_worth_logging)
        signals.worker_ready.connect(lambda **_: log.info("ops_ready", queue=OPS_QUEUE), weak=False)
        return run_celery_worker(app, OPS_QUEUE, pool="prefork")


def run_beat(settings: OpsSettings) -> None:
    """Enqueue each task at its time until SIGTERM or SIGINT. Two processes are harmless: tasks may run twice."""
    app = ops_app(broker_url(), settings)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: sys.exit(0))
    logging.getLogger("celery.beat").addFilter(is_worth_logging)
    log.info(
        "schedule",
        timezone=settings.timezone,
        **{name: str(entry["schedule"]) for name, entry in app.conf.beat_schedule.items()},
    )
    kept = settings.beat_schedule
    scheduler = type("Scheduler", (BoundedScheduler, beat.PersistentScheduler if kept else beat.Scheduler), {})
    watched = {"no-task": partial(takes_messages, app)}
    watch = OutageWatch(watched, after_s=_NO_TASK_S, rules=alerts_file().read)
    threading.Thread(target=watch.run, args=(threading.Event(),), name="outages", daemon=True).start()
    beat.Service(app, schedule_filename=str(kept or ""), scheduler_cls=scheduler).start()


class BoundedScheduler:
    """Mixin for beat's schedulers: sends no frequent tasks while no ops worker takes messages, so that they do not
    fill the broker. Rare tasks are sent: an ops worker that starts within hours must not miss the nightly tasks.
    """

    reported = False

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send the entry's task, unless it is frequent and the queue is long."""
        if entry.options["expires"] < _RARE_S and not takes_messages(self.app):  # type: ignore[attr-defined]
            if not self.reported:
                log.error("ops_missing", queued=MAX_QUEUED, hint="start `triagem ops`")
            self.reported = True
            return
        self.reported = False
        super().apply_entry(entry, producer)  # type: ignore[misc]


def takes_messages(app: Celery) -> bool:
    """Whether the queue is short, so an ops worker takes messages. Also True while Redis does not answer."""
    with app.connection_for_write() as connection:
        try:
            return int(connection.default_channel.client.llen(OPS_QUEUE)) < MAX_QUEUED
        except (OperationalError, *connection.recoverable_connection_errors):
            return True


def _serve_metrics(settings: OpsSettings, counters: str) -> None:
    # prometheus-client reads this at import: nothing above imports it, and Celery imports the counters later.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = counters
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    from triagem.ops.metrics import StoreCollector  # noqa: PLC0415

    registry = CollectorRegistry()
    MultiProcessCollector(registry, counters)  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    open_database = partial(Database, servers.database_url(), short_limits())
    registry.register(StoreCollector(servers.inbox(), open_database, servers.registry()))
    settings.metrics.serve(registry)


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _open_connections(**_: object) -> None:
    """Open connections in each task process, because a connection pool must not be shared across a fork."""
    read_secret_files()  # tasks also read the passwords of mail servers and CRMs
    logging.getLogger("celery.app.trace").addFilter(redact_exception)
    logging.getLogger("celery.app.trace").addFilter(is_worth_logging)
    current_app.database = servers.database()
    current_app.inbox = servers.inbox()
    current_app.registry = servers.registry()


@signals.task_postrun.connect  # type: ignore[untyped-decorator]
def _record_completed(task: Any, **_: object) -> None:
    with suppress(RedisError):
        record_completed(task.app.inbox.redis)


def redact_exception(record: logging.LogRecord) -> bool:
    """A logging filter: replaces the exception text of failed tasks, because it may quote a customer's message."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and isinstance(record.args, dict) and "exc" in record.args:
        record.args = {**record.args, "exc": safe_reason(error)}
    return True
