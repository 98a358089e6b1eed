"""The pipe's first thread: takes entries, live before every micro-batch, and hands prepared micro-batches on."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Final, TypeVar

import structlog

from triagem.contracts.errors import GroupMissing, InboxAway, InboxFull, TriagemError
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Entry, Inbox
from triagem.inbox.client import BLOCK_S
from triagem.inbox.desired import paused
from triagem.inbox.lease import Lease
from triagem.inbox.trials import LETHAL, Trials
from triagem.worker.batch import Condemned, Done, MicroBatch
from triagem.worker.causes import Cause
from triagem.worker.handover import Handover
from triagem.worker.keeper import Keeper
from triagem.worker.lanes import Lanes
from triagem.worker.outage import outwait
from triagem.worker.preparer import Preparer
from triagem.worker.rescue import Rescue
from triagem.worker.settings import WorkerSettings
from triagem.worker.supervisor import Supervisor

log = structlog.get_logger(__name__)
T = TypeVar("T")

_BULK_LOOK_S: Final = 0.05  # how often bulk is looked for while live tickets are in hand
_WAITING_LOOK_S: Final = 0.5


class Taker:
    """Only this thread takes, claims and retakes: so it knows what is in hand when it asks Redis about it."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        lease: Lease,
        rescue: Rescue,
        database: Database,
        keeper: Keeper,
        supervisor: Supervisor,
        settings: WorkerSettings,
        window: Callable[[], int],
        bury: Callable[[Done], None],
    ) -> None:
        self._inbox, self._lease, self._rescue = inbox, lease, rescue
        self._supervisor = supervisor
        self._settings = settings
        self._window = window
        self._bury = bury
        self._trials = Trials(inbox.redis)
        self._lanes = Lanes(settings.bulk_share)
        self._suspects: deque[Entry] = deque()
        self._preparer = Preparer(database, keeper, settings, bury, self._patiently)
        self._waiting_at = float("-inf")
        # What the classifier may be at work on: the micro-batch in the place between us, and the one before it.
        self._ahead: deque[list[Entry]] = deque(maxlen=2)
        # Whose trial stands in Redis, and what is in it.
        self._trial: tuple[str, frozenset[Entry]] = ("", frozenset())
        self._paused = False
        self._bulk_at = float("-inf")
        self._look_at = float("-inf")
        # By lane: the lanes' streams count for themselves, and give out equal ids.
        self._in_hand: dict[Lane, set[bytes]] = {lane: set() for lane in Lane}

    def run(self, outlet: Handover[MicroBatch], *, after: Iterable[threading.Event]) -> None:
        """Take, once all of `after` has happened, until told to stop; then hand on what is in hand and leave."""
        stopping, beat = self._supervisor.stopping, self._supervisor.beat
        try:
            for event in after:
                while not (event.wait(0.5) or stopping.is_set()):
                    beat()
            while self._supervisor.failure is None:
                beat()
                if not outlet.wait_for_room(0.5):
                    continue
                if not stopping.is_set():
                    self._refill()
                batch = self._lanes.next()
                if batch is not None:
                    self._give(outlet, batch)
                if self._suspects:
                    self._try_alone(outlet, self._suspects.popleft())
                elif batch is None and stopping.is_set():
                    return
        finally:
            outlet.close()

    def settled(self, entries: Iterable[Entry]) -> None:
        """These have left Redis; called by the committer."""
        for entry in entries:
            self._in_hand[entry.lane].discard(entry.id)

    def acquit(self) -> None:
        """This worker ends for a reason that is no entry's fault."""
        with suppress(TriagemError):  # away, or we are refused: then the next claim suspects what we had in hand
            self._trials.clear(self._lease.consumer)

    @property
    def in_hand(self) -> int:
        """Entries that are being worked on in this process."""
        return sum(map(len, self._in_hand.values()))

    def _refill(self) -> None:
        if self._hold():
            if not self._holding_some():
                self._supervisor.stopping.wait(0.2)
            return
        window, consumer = self._window(), self._lease.consumer
        self._try_waiting()
        if self._rescue.due():
            for lane in Lane:
                self._add(lane, self._patiently(partial(self._sweep, lane, window)))
        for lane in Lane:
            if lane is Lane.BULK and (self._preparer.waiting or self._lanes.tickets(Lane.LIVE)):
                if self._preparer.waiting or time.monotonic() < self._bulk_at:
                    continue  # its turn comes later, and asking costs as much as preparing a micro-batch
                self._bulk_at = time.monotonic() + _BULK_LOOK_S
            # Half a window at a time: taking, looking up and tokenising cost their round trips a call. What has come
            # in meanwhile would stand behind what is held of its lane anyway.
            if (held := self._lanes.tickets(lane)) <= window // 2:
                self._add(lane, self._patiently(partial(self._inbox.take, lane, consumer, window - held)))
        if self._preparer.waiting and not self._holding_some():
            self._supervisor.stopping.wait(_BULK_LOOK_S)
        elif not self._holding_some():
            idle = self._patiently(partial(self._inbox.wait, consumer, window, block_s=BLOCK_S))
            for lane in Lane:
                self._add(lane, [entry for entry in idle if entry.lane is lane])

    def _try_waiting(self) -> None:
        """Look whether the model is there that some wait for; nothing else of bulk is taken meanwhile."""
        if not self._preparer.waiting or time.monotonic() < self._waiting_at:
            return
        again, self._preparer.waiting = self._preparer.waiting, []
        self._suspects.extend(entry for entry in again if entry.deaths is not None)
        fresh = [entry for entry in again if entry.deaths is None]
        self._lanes.add(Lane.BULK, self._preparer.batches(fresh))
        self._waiting_at = time.monotonic() + _WAITING_LOOK_S

    def _sweep(self, lane: Lane, window: int) -> list[Entry]:
        return self._rescue.sweep(lane, self._lease.consumer, self._in_hand[lane], window)

    def _add(self, lane: Lane, entries: list[Entry]) -> None:
        self._in_hand[lane].update(entry.id for entry in entries)
        condemned = [entry for entry in entries if (entry.deaths or 0) >= LETHAL]
        if condemned:
            why = f"{LETHAL} workers died while they were at work on this ticket alone"
            dead = [Condemned(entry, Cause.ENDED_WORKERS, why, 1 + (entry.deaths or 0)) for entry in condemned]
            self._bury(Done(dead=dead))
        suspects = [entry for entry in entries if entry.deaths is not None and entry.deaths < LETHAL]
        if suspects:
            log.warning("a worker died at work on these, each runs alone now", lane=str(lane), entries=len(suspects))
            self._suspects.extend(suspects)
        fresh = [entry for entry in entries if entry.deaths is None]
        if fresh:
            self._try(chain(*self._ahead, fresh))
            self._lanes.add(lane, self._preparer.batches(fresh))

    def _give(self, outlet: Handover[MicroBatch], batch: MicroBatch) -> None:
        self._ahead.append([item.entry for item in batch.items])
        # Each trial is synced to disk before Redis answers. Where micro-batches take milliseconds, one stands for
        # those of the next 30 ms or so, four at most.
        size = self._settings.batch_size
        coming = self._lanes.coming(min(4, self._window() // (8 * size)))
        self._try(chain(*self._ahead), beside=(item.entry for one in coming for item in one.items))
        outlet.give(batch)

    def _try_alone(self, outlet: Handover[MicroBatch], suspect: Entry) -> None:
        """One suspect, with nothing else at work in this process: if the process dies now, it is the one."""
        if not self._idle(outlet):
            return
        self._ahead.clear()
        self._try([suspect], alone=True)
        for batch in self._preparer.batches([suspect]):
            outlet.give(batch)
            self._idle(outlet)
        self._try([])

    def _try(self, entries: Iterable[Entry], *, beside: Iterable[Entry] = (), alone: bool = False) -> None:
        """Tell what this process is at work on; `beside` is told too if it has to be told anew."""
        entries, consumer = list(entries), self._lease.consumer
        whose, tried = self._trial
        small = len(tried) <= 9 * self._settings.batch_size
        if whose == consumer and small and not alone and tried.issuperset(entries):
            return
        entries += beside

        def begin() -> bool:
            try:
                self._trials.begin(consumer, entries, alone=alone)
            except InboxFull:  # go on without: only working takes entries out of Redis
                return False
            return True

        told = self._patiently(begin) and not alone
        self._trial = (consumer, frozenset(entries)) if told else ("", frozenset())

    def _idle(self, outlet: Handover[MicroBatch]) -> bool:
        """Wait until the classifier has nothing to do; False if the pipe failed meanwhile."""
        while self._supervisor.failure is None:
            self._supervisor.beat()
            if outlet.wait_until_idle(0.5):
                return True
        return False

    def _hold(self) -> bool:
        if time.monotonic() >= self._look_at:
            was, self._paused = self._paused, self._patiently(lambda: paused(self._inbox.redis))
            self._look_at = time.monotonic() + self._settings.look_every_s
            if was != self._paused:
                log.info("paused" if self._paused else "resumed")
        return self._paused

    def _holding_some(self) -> bool:
        return bool(self._suspects) or any(self._lanes.tickets(lane) for lane in Lane)

    def _patiently(self, call: Callable[[], T]) -> T:
        """Wait out an outage; after one of Redis, hold back from claiming."""

        def attempt() -> T:
            try:
                return call()
            except GroupMissing:
                self._inbox.make_groups()
                raise
            except InboxAway:
                self._rescue.hold()
                raise

        return outwait(attempt, self._supervisor)
