"""Starts and restarts the worker processes of a command, and ends a process when its parent ends."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from triagem.process import ChildProcess
from triagem.stack import Endpoints


def exit_on_sigterm() -> None:
    """Turn SIGTERM into SystemExit, so that cleanup code runs and child processes are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


class WorkerProcess(ChildProcess):
    """One `triagem worker`, `ops`, `beat` or `gateway`, on the local stack."""

    log: Path

    def __init__(self, endpoints: Endpoints, log: Path, command: str = "worker", **settings: str) -> None:
        login = {"TRIAGEM_DATABASE_URL": endpoints.writer_url}  # may read and write rows, but not alter tables
        super().__init__([command], endpoints.settings | login | settings, log)


def end_with_parent() -> None:
    """Stop as on SIGTERM when standard input ends, because the parent, which alone holds the pipe, has ended."""
    threading.Thread(target=_watch, name="parent", daemon=True).start()


def _watch() -> None:
    while os.read(0, 4096):  # not sys.stdin: a thread that holds its lock at exit aborts the interpreter
        pass
    os.kill(os.getpid(), signal.SIGTERM)


SHORT_RUN_S: Final = 10.0  # a worker needs about this time to warm up
_CONFIGURATION_ERROR: Final = 1  # the exit status of a worker that reported why it cannot run


class Process(Protocol):
    """A started worker process."""

    @property
    def exit_status(self) -> int | None: ...
    def exit_reason(self) -> str: ...


def restart_delay(status: int, uptime_s: float, short_runs: int) -> float | None:
    """Seconds until a stopped worker is restarted; None if a restart cannot help.

    Args:
        status: the exit status, negative for a signal.
        short_runs: number of consecutive runs shorter than SHORT_RUN_S, this one included.
    """
    if uptime_s >= SHORT_RUN_S:
        return 0.0
    return None if status == _CONFIGURATION_ERROR else min(30.0, 0.5 * 2**short_runs)


@dataclass
class WorkerSlot:
    """A slot that runs one worker process at a time. `poll` starts and restarts it."""

    name: str
    start: Callable[[], Process]
    report: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    process: Process | None = None
    _started_at: float = 0.0
    _start_after: float = field(default=float("-inf"))
    _short_runs: int = 0

    def poll(self) -> bool:
        """Start the worker if it is due. Call repeatedly. Returns False once a worker reported that it cannot run."""
        now = self.clock()
        if self.process is None:
            if now >= self._start_after:
                self.process, self._started_at = self.start(), now
            return True
        status = self.process.exit_status
        if status is None:
            return True
        uptime = now - self._started_at
        self._short_runs = self._short_runs + 1 if uptime < SHORT_RUN_S else 0
        delay = restart_delay(status, uptime, self._short_runs)
        end = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        restart = "" if delay is None else f", restarting in {delay:.0f} s"
        self.report(f"{self.name} {end}{restart}: {self.process.exit_reason()}")
        if delay is None:
            return False
        self.process, self._start_after = None, now + delay
        return True


def run_until_stopped(
    slots: Sequence[WorkerSlot],
    each_round: Callable[[], None],
    *,
    stop_s: float = 70.0,
    stop_step: AbstractContextManager[None] | None = None,
) -> tuple[bool, list[int]]:
    """Run the processes of the slots until SIGINT or SIGTERM, then let them finish their work.

    Args:
        each_round: called twice a second.
        stop_s: seconds until a process that does not stop is killed.
        stop_step: a context around the stop.

    Returns:
        False if a process reported at startup that it cannot run; and the exit statuses of the processes that were
        still running at the end.
    """
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    healthy = True
    try:
        while healthy and not stopping.wait(0.5):
            healthy = all(slot.poll() for slot in slots)
            each_round()
    finally:
        running = [slot.process for slot in slots if isinstance(slot.process, ChildProcess)]
        with stop_step or nullcontext(), ThreadPoolExecutor(len(slots) or 1) as threads:
            statuses = list(threads.map(lambda process: process.stop(stop_s), running))
    return healthy, statuses
