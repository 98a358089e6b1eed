"""Supervises the pipeline threads: if one exits unexpectedly, the process stops.

The worst failure is a dead thread in a worker that still answers `inspect ping`: the worker's entries stay pending
under a consumer name that looks alive.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from triagem.contracts.errors import NotRetryable, Retryable

log = structlog.get_logger(__name__)


class ThreadExited(NotRetryable):
    """A pipeline thread returned before the stop: a bug, please report it."""


class Supervisor:
    """Starts threads, collects their heartbeats, and stops them together.

    `on_failure` is called once, from the thread that failed, and asks the process to stop. If that takes longer than
    `deadline_s`, the process exits with `os._exit`, because a thread stuck in C code cannot be joined.
    """

    def __init__(
        self, on_failure: Callable[[], None], *, deadline_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stopping = threading.Event()
        self.failure: BaseException | None = None
        self._on_failure = on_failure
        self._deadline_s = deadline_s
        self._clock = clock
        self._failing = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._beats: dict[str, float] = {}
        self._waiting: dict[str, str | None] = {}

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a daemon thread. Returning before `stopping` is set is a failure too."""
        self._beats[name] = self._clock()
        thread = threading.Thread(target=self._guard, args=(name, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def beat(self) -> None:
        """Record a heartbeat of the calling thread. A thread also calls this while it retries during an outage."""
        self._beats[threading.current_thread().name] = self._clock()

    def heartbeat_age_s(self) -> float:
        """Age of the oldest thread heartbeat, in seconds."""
        now = self._clock()
        return max(0.0, now - min(self._beats.values(), default=now))

    @contextmanager
    def heartbeat_suspended(self) -> Iterator[None]:
        """Suspend the heartbeat of the calling thread: loading a large model may take long.

        The pipeline keeps running meanwhile.
        """
        self._beats[threading.current_thread().name] = float("inf")
        try:
            yield
        finally:
            self.beat()

    def waiting(self, reason: str | None) -> None:
        """Record what the calling thread waits for during an outage; None: it continues."""
        self._waiting[threading.current_thread().name] = reason

    @property
    def waiting_for(self) -> str | None:
        """One line about what the pipeline waits for; None while it is working."""
        return next(filter(None, list(self._waiting.values())), None)

    def join(self) -> bool:
        """Wait for all threads to exit after `stopping` was set; False if one failed or the deadline passed.

        Does not wait after a failure: entries in flight stay pending, and another worker reclaims them. Nor for a
        thread whose heartbeat is suspended: it loads a model, and holds no entry.
        """
        if self.failure is not None:
            return False
        end = self._clock() + self._deadline_s
        threads = [thread for thread in self._threads if self._beats[thread.name] != float("inf")]
        for thread in threads:
            thread.join(max(0.0, end - self._clock()))
        return self.failure is None and not any(thread.is_alive() for thread in threads)

    def _guard(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
            if not self.stopping.is_set():
                self._fail(name, ThreadExited(f"the thread {name} exited unexpectedly"))
        except Retryable as error:
            # The outage outlasted the stop: entries in flight stay pending, and another worker reclaims them.
            if self.stopping.is_set():
                log.warning("entries_left_pending", thread=name, reason=str(error))
            else:
                self._fail(name, error)
        except BaseException as error:  # noqa: BLE001 - SystemExit would end a thread silently
            self._fail(name, error)

    def _fail(self, name: str, error: BaseException) -> None:
        with self._failing:
            if self.failure is not None:
                return  # this thread failed as a consequence of the first failure
            self.failure = error
        log.critical("thread_failed", thread=name, error=type(error).__name__, exc_info=error)
        self.stopping.set()
        timer = threading.Timer(self._deadline_s, os._exit, args=(1,))
        timer.daemon = True
        timer.start()
        self._on_failure()
