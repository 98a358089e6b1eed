"""The threads of the pipe under one roof: whatever ends one of them unasked ends the process.

A dead thread behind a worker that still answers `inspect ping` is the worst failure of all: entries stay
pending under a name that looks alive.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from triagem.contracts.errors import Final as FinalError
from triagem.contracts.errors import Retryable

log = structlog.get_logger(__name__)

_EXIT: Final = 1


class ThreadEnded(FinalError):
    """A thread of the pipe returned unasked: a fault of ours, to be reported."""


class Supervisor:
    """Starts threads, collects their heartbeats, and stops them together.

    `on_failure` is called once, from the thread that failed; it asks the process to stop. If that takes longer
    than `deadline_s`, the process ends itself: `os._exit`, because a thread stuck in C code can't be joined.
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
        self._waiting: dict[str, str] = {}

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a daemon thread until it returns; returning before `stopping` is a failure too."""
        self._beats[name] = self._clock()
        thread = threading.Thread(target=self._guard, args=(name, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def beat(self) -> None:
        """The calling thread is well. Also called while it waits out an outage."""
        self._beats[threading.current_thread().name] = self._clock()

    def silent_s(self) -> float:
        """Seconds since the quietest thread's last heartbeat."""
        now = self._clock()
        return max(0.0, now - min(self._beats.values(), default=now))

    @contextmanager
    def excused(self) -> Iterator[None]:
        """Inside, nobody expects a heartbeat of the calling thread: loading a large model takes as long as it takes,
        and while the next version loads the pipe goes on."""
        self._beats[threading.current_thread().name] = float("inf")
        try:
            yield
        finally:
            self.beat()

    def waiting(self, why: str | None) -> None:
        """The calling thread waits out an outage; None: it goes on."""
        name = threading.current_thread().name
        if why is None:
            self._waiting.pop(name, None)
        else:
            self._waiting[name] = why

    @property
    def waits_for(self) -> str | None:
        """What the pipe waits for, in one line; None while it is at work."""
        return next(iter(list(self._waiting.values())), None)

    def join(self) -> bool:
        """Wait for all threads, which `stopping` has asked to end; False if one failed or the deadline passed.

        After a failure nobody waits: what is in hand stays pending, and another worker takes it over.
        """
        if self.failure is not None:
            return False
        end = self._clock() + self._deadline_s
        for thread in self._threads:
            thread.join(max(0.0, end - self._clock()))
        return self.failure is None and not any(thread.is_alive() for thread in self._threads)

    def _guard(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
            if not self.stopping.is_set():
                self._fail(name, ThreadEnded(f"{name} ended by itself"))
        except Retryable as error:
            # An outage outlasted the stop: what is in hand stays pending and another worker takes it over.
            if self.stopping.is_set():
                log.warning("left pending", thread=name, why=str(error))
            else:
                self._fail(name, error)
        except BaseException as error:  # noqa: BLE001 - SystemExit in a thread would end it without a word
            self._fail(name, error)

    def _fail(self, name: str, error: BaseException) -> None:
        with self._failing:
            if self.failure is not None:
                return  # the others end because the first one did
            self.failure = error
        log.critical("thread failed, stopping the worker", thread=name, error=type(error).__name__, exc_info=error)
        self.stopping.set()
        timer = threading.Timer(self._deadline_s, os._exit, args=(_EXIT,))
        timer.daemon = True
        timer.start()
        self._on_failure()
