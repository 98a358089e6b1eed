"""First pipeline thread: fetches entries, live ones before every hand-over, and hands over micro-batches.

While the registry has no current version, it passes tickets on without a result.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Final

import structlog

from triagem.contracts.errors import InboxFull, Retryable, TriagemError
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Entry, Inbox
from triagem.inbox.client import BLOCK_S
from triagem.inbox.lease import Lease, paused
from triagem.inbox.reclaim import MAX_SOLO_CRASHES, clear_in_progress, mark_in_progress
from triagem.worker.batch import Cause, CommitBatch, FailedEntry, MicroBatch
from triagem.worker.failures import Retrier
from triagem.worker.in_flight import InFlight, Recovery
from triagem.worker.models import ModelManager
from triagem.worker.prepare import MicroBatchBuilder, RoutedEntries
from triagem.worker.scheduler import LaneScheduler, Slot
from triagem.worker.settings import WorkerSettings
from triagem.worker.supervisor import Supervisor

log = structlog.get_logger(__name__)

_BULK_FETCH_S: Final = 0.05  # interval of bulk fetches while live tickets are queued
_SHADOW_POLL_S: Final = 0.5  # how often to check whether a shadow model has been loaded
_SHADOW_WAIT_S: Final = 10.0  # longer than the loading time of most models
_RUN_PAUSE_S: Final = 0.5  # wait for this worker to see the promotion of a run's version


class Fetcher:
    """The only thread that fetches and reclaims entries, so it knows which are in flight when it asks Redis."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        lease: Lease,
        recovery: Recovery,
        database: Database,
        models: ModelManager,
        supervisor: Supervisor,
        settings: WorkerSettings,
        in_flight: InFlight,
        window: Callable[[], int],
        hand_over: Callable[[], int],
        submit: Callable[[CommitBatch], None],
    ) -> None:
        self._inbox, self._lease, self._recovery = inbox, lease, recovery
        self._supervisor, self._models = supervisor, models
        self._settings = settings
        self._in_flight = in_flight
        self._window, self._hand_over = window, hand_over
        self._submit = submit
        self._scheduler = LaneScheduler()
        self._quarantine: deque[Entry] = deque()
        self._retry = Retrier(supervisor, recovery.on_outage)
        self._builder = MicroBatchBuilder(database, models, submit, self._retry)
        self._next_shadow_poll, self._waiting_since = float("-inf"), float("inf")
        # Hand-overs that the classifier may be processing: the one in the slot and the one before it.
        self._dispatched: deque[list[Entry]] = deque(maxlen=2)
        # The in-progress marker in Redis: its consumer and its entries.
        self._marker: tuple[str, frozenset[Entry]] = ("", frozenset())
        self._paused = False
        self._next_bulk_fetch = float("-inf")
        self._next_pause_check = float("-inf")

    def collect(self, *, after: threading.Event, until: threading.Event) -> None:
        """Once `after` is set, store tickets while the registry has no current version; return once `until` is.

        A ticket leaves Redis after its commit here too.
        """
        window = self._settings.window_max
        while not (until.is_set() or self._supervisor.stopping.is_set()):
            self._supervisor.beat()
            if not after.is_set() or not self._models.missing or self._is_paused():
                until.wait(0.2)
                continue
            if self._recovery.due():
                for lane in Lane:
                    self._collect(self._retry(partial(self._recover, lane, window)))
            fetch = partial(self._inbox.fetch_blocking, self._lease.consumer, window, block_s=BLOCK_S)
            self._collect(self._retry(fetch))

    def _collect(self, entries: list[Entry]) -> None:
        self._in_flight.add(entries)
        if refs := self._builder.submit_unlabelled(entries):  # a worker with the model takes them
            self._retry(partial(self._inbox.move_to_end, refs))
            self._in_flight.discard(refs)
            self._supervisor.stopping.wait(_RUN_PAUSE_S)

    def run(self, outlet: Slot[list[MicroBatch]], *, after: Iterable[threading.Event]) -> None:
        """Fetch, once all events of `after` are set, until the stop; then pass on the remaining batches."""
        stopping, beat = self._supervisor.stopping, self._supervisor.beat
        try:
            for event in after:
                while not (event.wait(0.5) or stopping.is_set()):
                    beat()
            while self._supervisor.failure is None:
                beat()
                if not outlet.wait_until_empty(0.5):
                    continue
                if not stopping.is_set():
                    self._refill()
                batches = self._scheduler.take(self._hand_over())
                if batches:
                    self._dispatch(outlet, batches)
                if stopping.is_set():
                    if not batches:
                        return  # quarantined entries stay pending: another worker runs them
                elif self._quarantine:
                    self._run_alone(outlet, self._quarantine.popleft())
        finally:
            outlet.close()

    def clear_marker(self) -> None:
        """Clear the in-progress marker, because this worker exits for a reason that is not an entry."""
        with suppress(TriagemError):  # Redis unavailable or access denied: the next reclaim quarantines our entries
            self._clear()

    def _refill(self) -> None:
        if self._is_paused():
            if not self._has_queued_work():
                self._supervisor.stopping.wait(0.2)
            return
        window, consumer = self._window(), self._lease.consumer
        self._retry_waiting()
        if self._recovery.due():
            for lane in Lane:
                self._add(lane, self._retry(partial(self._recover, lane, window)))
        for lane in Lane:
            if lane is Lane.BULK and (self._builder.waiting or self._scheduler.queued_tickets(Lane.LIVE)):
                if self._builder.waiting or time.monotonic() < self._next_bulk_fetch:
                    # fetch bulk entries less often, because a fetch costs as much as preparing a micro-batch
                    continue
                self._next_bulk_fetch = time.monotonic() + _BULK_FETCH_S
            # Fetch half a window at a time, because fetching, look-up and tokenization cost round trips per call.
            # This delays no entry: newer entries queue behind the older entries of their lane anyway.
            if (queued := self._scheduler.queued_tickets(lane)) <= window // 2:
                self._add(lane, self._retry(partial(self._inbox.fetch, lane, consumer, window - queued)))
        if self._builder.waiting and not self._has_queued_work():
            self._supervisor.stopping.wait(_BULK_FETCH_S)
        elif not self._has_queued_work():
            entries = self._retry(partial(self._inbox.fetch_blocking, consumer, window, block_s=BLOCK_S))
            for lane in Lane:
                self._add(lane, [entry for entry in entries if entry.lane is lane])

    def _retry_waiting(self) -> None:
        """Route entries again that wait for a shadow model. Meanwhile, no other bulk entries are fetched.

        If the model is unavailable, for example because the registry hangs, the waiting entries go to the end of the
        lane, so that other entries can pass.
        """
        if not self._builder.waiting or time.monotonic() < self._next_shadow_poll:
            return
        waiting, self._builder.waiting = self._builder.waiting, []
        self._quarantine.extend(entry for entry in waiting if entry.solo_crashes is not None)
        regular = [entry for entry in waiting if entry.solo_crashes is None]
        self._scheduler.add(Lane.BULK, self._builder.build(regular))
        still_waiting = [entry for entry in self._builder.waiting if entry.solo_crashes is None]
        now = time.monotonic()
        self._waiting_since = min(self._waiting_since, now) if still_waiting else float("inf")
        if now - self._waiting_since > _SHADOW_WAIT_S:
            with suppress(Retryable):  # an outage, or no memory: they wait here
                self._inbox.move_to_end(still_waiting)
                self._in_flight.discard(still_waiting)
                self._builder.waiting = [entry for entry in self._builder.waiting if entry not in still_waiting]
        self._next_shadow_poll = now + _SHADOW_POLL_S

    def _recover(self, lane: Lane, window: int) -> list[Entry]:
        return self._recovery.recover(lane, self._lease.consumer, self._in_flight.ids(lane), window)

    def _add(self, lane: Lane, entries: list[Entry]) -> None:
        self._in_flight.add(entries)
        crashing = [entry for entry in entries if (entry.solo_crashes or 0) >= MAX_SOLO_CRASHES]
        if crashing:
            reason = f"{MAX_SOLO_CRASHES} workers crashed while processing only this ticket"
            dead = [
                FailedEntry(entry, Cause.CRASHED_WORKERS, reason, 1 + (entry.solo_crashes or 0)) for entry in crashing
            ]
            self._submit(CommitBatch(dead=dead))
        quarantined = [
            entry for entry in entries if entry.solo_crashes is not None and entry.solo_crashes < MAX_SOLO_CRASHES
        ]
        if quarantined:
            log.warning("entries_quarantined", lane=str(lane), entries=len(quarantined))
            self._quarantine.extend(quarantined)
        regular = [entry for entry in entries if entry.solo_crashes is None]
        if regular:
            self._mark(chain(*self._dispatched, regular))
            self._scheduler.add(lane, self._builder.build(regular))

    def _dispatch(self, outlet: Slot[list[MicroBatch]], batches: list[MicroBatch]) -> None:
        self._dispatched.append([item.entry for batch in batches for item in batch.items])
        # Redis syncs each marker to disk before it replies. If micro-batches take milliseconds, one marker covers a
        # hand-over of several, or those of about the next 30 ms, at most four.
        size = self._models.current.limits.texts
        upcoming = self._scheduler.upcoming(min(4, self._window() // (8 * size)) if len(batches) == 1 else 0)
        self._mark(chain(*self._dispatched), upcoming=(item.entry for batch in upcoming for item in batch.items))
        outlet.put(batches)

    def _run_alone(self, outlet: Slot[list[MicroBatch]], entry: Entry) -> None:
        """Run a quarantined entry while nothing else is in progress: if the process crashes, this entry caused it."""
        if not self._idle(outlet):
            return
        routed = self._builder.route([entry])  # before the marker is set, because this may wait for Postgres
        if any(items for _, items in routed.ready):
            self._compute_alone(outlet, entry, routed)
        self._builder.submit_done(routed)  # after the marker is cleared, because the committer's queue may be full

    def _compute_alone(self, outlet: Slot[list[MicroBatch]], entry: Entry, routed: RoutedEntries) -> None:
        """Tokenize and classify an entry under the solo marker.

        Nothing under the marker waits for a store, because a worker that is killed while it waits, or after a
        requested stop, proves nothing about the entry.
        """
        self._dispatched.clear()
        self._mark([entry], alone=True)
        # If the stop was requested before the marker was written, the entry stays pending.
        if not self._supervisor.stopping.is_set():
            for batch in self._builder.prepare(routed):
                outlet.put([batch])
                while not (batch.computed.wait(0.5) or outlet.abandoned):
                    if self._supervisor.failure is not None:
                        return
                    self._supervisor.beat()
        self._retry(self._clear)

    def _mark(self, entries: Iterable[Entry], *, upcoming: Iterable[Entry] = (), alone: bool = False) -> None:
        """Make the in-progress marker in Redis cover `entries`; if it has to be written, include `upcoming`."""
        entries, consumer = list(entries), self._lease.consumer
        owner, marked = self._marker
        small = len(marked) <= 9 * self._models.current.limits.texts
        if owner == consumer and small and not alone and marked.issuperset(entries):
            return
        entries += upcoming

        def write() -> bool:
            try:
                mark_in_progress(self._inbox.redis, consumer, entries, alone=alone)
            except InboxFull:  # continue without a marker: only processing removes entries from Redis
                return False
            return True

        reusable = self._retry(write) and not alone
        self._marker = (consumer, frozenset(entries)) if reusable else ("", frozenset())

    def _clear(self) -> None:
        # Under all names: others read the marker of a name whose lease was lost while the model ran.
        for name in list(self._lease.names):
            clear_in_progress(self._inbox.redis, name)

    def _idle(self, outlet: Slot[list[MicroBatch]]) -> bool:
        """Wait until the classifier is idle; False if the pipeline failed meanwhile."""
        while self._supervisor.failure is None:
            self._supervisor.beat()
            if outlet.wait_until_idle(0.5):
                return True
        return False

    def _is_paused(self) -> bool:
        if time.monotonic() >= self._next_pause_check:
            before, self._paused = self._paused, self._retry(lambda: paused(self._inbox.redis))
            self._next_pause_check = time.monotonic() + self._settings.poll_every_s
            if before != self._paused:
                log.info("paused" if self._paused else "resumed")
        return self._paused

    def _has_queued_work(self) -> bool:
        return bool(self._quarantine) or any(self._scheduler.queued_tickets(lane) for lane in Lane)
