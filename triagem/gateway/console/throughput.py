"""Measures throughput from the inbox: the difference of acknowledged entries between two readings."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox

_MIN_SPAN_S: Final = 3.0
_MAX_SPAN_S: Final = 120.0


class ThroughputMeter:
    """Readings of the last two minutes, shared by all visitors of this gateway."""

    def __init__(self, inbox: Inbox, clock: Callable[[], float] = time.monotonic) -> None:
        self._inbox = inbox
        self._clock = clock
        self._readings: deque[tuple[float, int]] = deque()

    def per_second(self) -> float | None:
        """The rate since the oldest reading; None if that is under three seconds old. Raises InboxUnavailable."""
        now, acked = self._clock(), sum(self._inbox.acked(lane) for lane in Lane)
        if self._readings and self._readings[-1][1] > acked:  # Redis was emptied
            self._readings.clear()
        while self._readings and self._readings[0][0] < now - _MAX_SPAN_S:
            self._readings.popleft()
        if not self._readings or now - self._readings[-1][0] >= 1:
            self._readings.append((now, acked))
        since, before = self._readings[0]
        return (acked - before) / (now - since) if now - since >= _MIN_SPAN_S else None
