"""Restart policy for worker processes: a poison ticket may crash a worker three times before it is dead-lettered."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

SHORT_RUN_S: Final = 10.0  # a worker that ran for less time has hardly warmed up
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
        """Start the worker if it is due. Call repeatedly. False once the worker has reported that it cannot run."""
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
