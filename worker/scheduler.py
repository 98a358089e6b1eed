"""Chooses the next micro-batch: live first, bulk by its weight. No I/O."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from triagem.contracts.ticket import Lane
from triagem.worker.batch import MicroBatch


class LaneScheduler:
    """Queues of prepared micro-batches, one per lane, each at most one window long."""

    def __init__(self, bulk_share: float) -> None:
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

        Every live ticket earns bulk `bulk_share` of a ticket in credit. One batch's worth of credit buys one bulk
        batch, and the credit is reset: bulk delays live by one batch at most, and never starves.
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
