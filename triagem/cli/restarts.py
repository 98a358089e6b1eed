"""Start again what died: a text may end a worker three times before it is set aside, and somebody has to be there."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

QUICK_S: Final = 10.0  # a worker that lived shorter has hardly warmed up
_SAID_WHY: Final = 1  # the exit status of a worker that found something wrong and told what


class Process(Protocol):
    """A started worker."""

    @property
    def exit_status(self) -> int | None: ...
    def why_ended(self) -> str: ...


def pause_after(status: int, lived_s: float, quick_deaths: int) -> float | None:
    """Seconds until a dead worker is started again; None if that would be no use.

    Args:
        status: its exit status, negative for a signal.
        quick_deaths: how many lives in a row were shorter than QUICK_S, this one included.
    """
    if lived_s >= QUICK_S:
        return 0.0
    return None if status == _SAID_WHY else min(30.0, 0.5 * 2**quick_deaths)


@dataclass
class Place:
    """Where one worker at a time runs. `look` starts it, and starts it again."""

    name: str
    start: Callable[[], Process]
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    process: Process | None = None
    _began: float = 0.0
    _next: float = field(default=float("-inf"))
    _quick: int = 0

    def look(self) -> bool:
        """Call it again and again. False once the worker has said at its start that it cannot work."""
        now = self.clock()
        if self.process is None:
            if now >= self._next:
                self.process, self._began = self.start(), now
            return True
        status = self.process.exit_status
        if status is None:
            return True
        lived = now - self._began
        self._quick = self._quick + 1 if lived < QUICK_S else 0
        pause = pause_after(status, lived, self._quick)
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        after = "" if pause is None else f", starting again in {pause:.0f} s"
        self.say(f"{self.name} {how}{after}: {self.process.why_ended()}")
        if pause is None:
            return False
        self.process, self._next = None, now + pause
        return True
