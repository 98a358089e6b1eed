"""Monitors the ops worker from its main process: its liveness, and outages that its tasks cannot report."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from celery import bootsteps
from celery.worker import state
from sqlalchemy import text

from triagem.contracts.errors import TriagemError
from triagem.db import Database, DatabaseSettings
from triagem.notify.outage import OutageWatch
from triagem.ops.settings import OpsSettings
from triagem.worker import health


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


def monitored(settings: OpsSettings, checks: Mapping[str, Callable[[], bool]]) -> type[bootsteps.StartStopStep]:
    """A bootstep that writes the heartbeat file, if there is one, and sends alerts about outages.

    The file's age is the time since the last completed task, while there is one to complete.
    `checks`: further checks for `OutageWatch`, in addition to `no-task`.
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
                return time.time() - progress.completed_at < settings.no_task_s

            def keep_up() -> None:
                while not self.stopping.wait(1.0):
                    if getattr(parent.consumer, "connection", None) is None:  # the event loop does not run
                        progress.alive()
                    if settings.ops_heartbeat_file:
                        health.write(settings.ops_heartbeat_file, health.READY, progress.alive_at)

            watch = OutageWatch({**checks, "no-task": has_completed_one}, after_s=settings.outage_s)
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


def ask_postgres(database_url: str) -> None:
    """Raise DatabaseUnavailable if Postgres does not answer. The process forks, so it must keep no connection."""
    with Database(database_url, short_limits()) as database:
        database.scalar_one(text("SELECT 1"))
