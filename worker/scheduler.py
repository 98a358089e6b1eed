"""Chooses the next micro-batch, live first, bulk by its weight; and hands it to the classifier. No I/O."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final, Generic, TypeVar

from triagem.contracts.ticket import Lane
from triagem.worker.batch import MicroBatch

_HAND_OVER_S: Final = 0.005
MAX_HAND_OVER: Final = 4  # micro-batches; if the process crashes, the entries of two hand-overs are quarantined


def hand_over_size(batch_s: float) -> int:
    """Number of micro-batches to hand over together, each of which takes `batch_s` (0: unknown): 5 ms of work.

    Each hand-over costs a fetch of live tickets and a switch of threads. 5 ms delay no live ticket noticeably.
    """
    return max(1, min(MAX_HAND_OVER, int(_HAND_OVER_S / batch_s))) if batch_s else 1


BULK_SHARE: Final = 0.1  # of the tickets while there are enough live tickets to keep the worker busy


class LaneScheduler:
    """Queues of prepared micro-batches, one per lane, each at most one window long."""

    def __init__(self, bulk_share: float = BULK_SHARE) -> None:
        self._share = bulk_share
        self._queues: dict[Lane, deque[MicroBatch]] = {lane: deque() for lane in Lane}
        self._credit = 0.0

    def add(self, lane: Lane, batches: Iterable[MicroBatch]) -> None:
        """Append micro-batches to the queue of their lane."""
        self._queues[lane].extend(batches)

    def queued_tickets(self, lane: Lane) -> int:
        """Number of tickets in the queue of a lane."""
        return sum(len(batch.items) for batch in self._queues[lane])

    def upcoming(self, limit: int) -> Iterator[MicroBatch]:
        """The first `limit` micro-batches of each lane: those likely to run next."""
        return chain.from_iterable(islice(batches, limit) for batches in self._queues.values())

    def next(self) -> MicroBatch | None:
        """The next micro-batch.

        Each live ticket adds `bulk_share` of a ticket to the credit of the bulk lane. When the credit reaches a
        batch, one bulk batch runs and the credit is reset. So bulk delays live by one batch at most, and bulk never
        starves.
        """
        live, bulk = self._queues[Lane.LIVE], self._queues[Lane.BULK]
        if bulk and (not live or self._credit >= len(bulk[0].items)):
            batch = bulk.popleft()
            self._credit = 0.0
            return batch
        if live:
            batch = live.popleft()
            self._credit += self._share * len(batch.items) if bulk else 0.0
            return batch
        return None

    def take(self, limit: int) -> list[MicroBatch]:
        """The next micro-batches, at most `limit`."""
        return [batch for _ in range(limit) if (batch := self.next()) is not None]


T = TypeVar("T")


class Slot(Generic[T]):
    """Holds one value. The producer waits for an empty slot *before* it chooses a value, so it chooses late."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._values: list[T] = []
        self._closed = False
        self._abandoned = False
        self._idle = True

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Whether the slot became empty within the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._values, timeout_s)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether, within the timeout, the slot became empty and the consumer asked for its next value."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle and not self._values, timeout_s)

    def put(self, value: T) -> None:
        """Fill the slot. For a single producer, after `wait_until_empty`."""
        with self._changed:
            assert not self._values
            if not self._abandoned:
                self._values.append(value)
            self._changed.notify_all()

    def close(self) -> None:
        """Announce that no value will follow."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def get(self, timeout_s: float) -> T | None:
        """The value; None after the timeout, or when the slot is closed and empty (see `exhausted`)."""
        with self._changed:
            self._idle = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._values or self._closed, timeout_s)
            if not self._values:
                return None
            value = self._values.pop()
            self._idle = False
            self._changed.notify_all()
            return value

    def abandon(self) -> None:
        """Announce that the consumer takes no further value: the producer's values are dropped from now on."""
        with self._changed:
            self._values.clear()
            self._abandoned = self._idle = True
            self._changed.notify_all()

    @property
    def abandoned(self) -> bool:
        """Whether the consumer has given up."""
        return self._abandoned

    @property
    def exhausted(self) -> bool:
        """Closed and empty."""
        with self._changed:
            return self._closed and not self._values
