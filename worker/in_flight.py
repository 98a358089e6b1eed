"""Tracks the entries that this process holds (in flight), and recovers entries that no process holds."""

import threading
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

import structlog

from triagem.contracts.errors import GroupMissing, InboxUnavailable, Retryable
from triagem.contracts.ticket import Lane
from triagem.inbox import Entry
from triagem.inbox.reclaim import Reclaimer
from triagem.worker.metrics import RECLAIMED, REDELIVERIES

log = structlog.get_logger(__name__)


class InFlight:
    """Entries that this process holds, from fetch to acknowledgement: the fetcher adds them, the committer discards
    them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # With the lane, because the streams of two lanes can assign equal ids.
        self._entries: set[tuple[Lane, bytes]] = set()

    def add(self, entries: Iterable[Entry]) -> None:
        """Add fetched entries."""
        with self._lock:
            self._entries.update((entry.lane, entry.id) for entry in entries)

    def discard(self, entries: Iterable[Entry]) -> None:
        """Remove entries that have left Redis, or that another worker has reclaimed."""
        with self._lock:
            self._entries.difference_update((entry.lane, entry.id) for entry in entries)

    def ids(self, lane: Lane) -> frozenset[bytes]:
        """Ids of the entries of a lane."""
        with self._lock:
            return frozenset(entry_id for of_lane, entry_id in self._entries if of_lane is lane)

    def __len__(self) -> int:
        """Number of entries."""
        with self._lock:
            return len(self._entries)


class Recovery:
    """Recovers entries that no process holds. Call it from the fetcher thread, between two fetches."""

    def __init__(
        self, reclaimer: Reclaimer, *, every_s: float, lease_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reclaimer = reclaimer
        self._every_s = every_s
        self._lease_s = lease_s
        self._clock = clock
        self._due_at = clock()
        self._working_since: float | None = None
        self._suspended_until = float("-inf")

    def on_outage(self, error: Retryable) -> None:
        """Create lost consumer groups again; after any other Redis outage, reclaim nothing for one lease period.

        Leases expire during an outage because no worker can refresh them. Without the pause, every outage longer
        than a lease would make live workers take entries from each other.
        """
        match error:
            case GroupMissing():
                self._reclaimer.inbox.create_groups()
            case InboxUnavailable():
                self._suspended_until = self._clock() + self._lease_s

    def recover(self, lane: Lane, consumer: str, in_flight: AbstractSet[bytes], limit: int) -> list[Entry]:
        """Entries to process: all lost replies, then reclaimed entries, up to `limit` in total.

        Entries of dead workers are reclaimed unless reclaims are suspended or Redis has been up for less than a lease
        period. An entry that has already crashed a worker on its own is reclaimed only after this worker has run for
        a lease period. Workers that are killed repeatedly by something else do not live that long; without this rule,
        they would blame the first entry they run.

        Raises the same errors as `Reclaimer`.
        """
        entries = self._reclaimer.recover_lost_replies(lane, consumer, in_flight)
        REDELIVERIES.labels(lane.value).inc(len(entries))
        suspended = self._clock() < self._suspended_until
        if limit > len(entries) and not suspended and self._reclaimer.uptime_s() >= self._lease_s:
            if self._working_since is None:
                self._working_since = self._clock()
            include_crashed = self._clock() - self._working_since >= self._lease_s
            reclaimed = self._reclaimer.reclaim(lane, consumer, limit - len(entries), include_crashed=include_crashed)
            fresh = [entry for entry in reclaimed if entry.id not in in_flight]
            RECLAIMED.labels(lane.value).inc(len(fresh))
            entries += fresh
        if entries:
            log.info("entries_reclaimed", lane=str(lane), entries=len(entries))
        return entries

    def due(self) -> bool:
        """Whether it is time to recover entries; true once per period."""
        if self._clock() < self._due_at:
            return False
        self._due_at = self._clock() + self._every_s
        return True
