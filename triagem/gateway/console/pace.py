"""How many tickets a second are settled, by looking twice: each lane counts what was ever put and what it holds."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox

_LEAST_S: Final = 3.0
_MOST_S: Final = 120.0


class Pace:
    """The last two minutes of looks, of everybody who looks at this gateway."""

    def __init__(self, inbox: Inbox, clock: Callable[[], float] = time.monotonic) -> None:
        self._inbox = inbox
        self._clock = clock
        self._looks: deque[tuple[float, int]] = deque()

    def per_second(self) -> float | None:
        """The rate since the oldest look; None where there was none, three seconds ago or more. Raises InboxAway."""
        now, settled = self._clock(), sum(self._inbox.settled(lane) for lane in Lane)
        if self._looks and self._looks[-1][1] > settled:  # Redis was emptied
            self._looks.clear()
        while self._looks and self._looks[0][0] < now - _MOST_S:
            self._looks.popleft()
        if not self._looks or now - self._looks[-1][0] >= 1:
            self._looks.append((now, settled))
        since, before = self._looks[0]
        return (settled - before) / (now - since) if now - since >= _LEAST_S else None
