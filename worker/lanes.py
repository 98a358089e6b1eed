"""Which micro-batch comes next: live first, bulk by its share. Pure but for what it holds."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from triagem.contracts.ticket import Lane
from triagem.worker.batch import MicroBatch


class Lanes:
    """The micro-batches that wait in this process, at most a window of each lane."""

    def __init__(self, bulk_share: float) -> None:
        self._share = bulk_share
        self._waiting: dict[Lane, deque[MicroBatch]] = {lane: deque() for lane in Lane}
        self._credit = 0.0

    def add(self, lane: Lane, batches: Iterable[MicroBatch]) -> None:
        """Put micro-batches behind those of their lane."""
        self._waiting[lane].extend(batches)

    def tickets(self, lane: Lane) -> int:
        """Tickets of a lane that wait here."""
        return sum(len(batch.items) for batch in self._waiting[lane])

    def coming(self, most: int) -> Iterator[MicroBatch]:
        """The first micro-batches of each lane, which probably come next."""
        return chain.from_iterable(islice(batches, most) for batches in self._waiting.values())

    def next(self) -> MicroBatch | None:
        """The next micro-batch. Every live ticket earns bulk `bulk_share` of a ticket, and a batch's worth buys one
        batch, without change: so bulk neither delays live by more than a batch nor starves behind it."""
        live, bulk = self._waiting[Lane.LIVE], self._waiting[Lane.BULK]
        if bulk and (not live or self._credit >= len(bulk[0].items)):
            batch = bulk.popleft()
            self._credit = 0.0
            return batch
        if live:
            batch = live.popleft()
            self._credit += self._share * len(batch.items) if bulk else 0.0
            return batch
        return None
