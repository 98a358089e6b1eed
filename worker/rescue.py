"""When to look for entries that nobody works on, and whose: dead workers' and our own lost replies."""

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet

import structlog

from triagem.contracts.ticket import Lane
from triagem.inbox import Entry
from triagem.inbox.claims import Claims
from triagem.worker.metrics import CLAIMS, REDELIVERIES

log = structlog.get_logger(__name__)


class Rescue:
    """Call it from the thread that takes, between two takes."""

    def __init__(
        self, claims: Claims, *, every_s: float, lease_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._claims = claims
        self._every_s = every_s
        self._lease_s = lease_s
        self._clock = clock
        self._due_at = clock()
        self._at_work_since: float | None = None
        self._hold_until = float("-inf")

    def hold(self) -> None:
        """We were cut off from Redis: claim nothing for one lease period. Otherwise every outage longer than a lease
        would make living workers steal from each other: their leases ended while nobody could refresh them."""
        self._hold_until = self._clock() + self._lease_s

    def sweep(self, lane: Lane, me: str, in_hand: AbstractSet[bytes], room: int) -> list[Entry]:
        """Entries to work on: lost replies always; dead workers' unless held, or Redis is younger than a lease.

        A suspect that has ended a worker alone waits until this worker has been at work for a lease period. Workers
        that something else kills again and again live shorter than that, and would condemn whatever comes first.

        Raises what Claims raises.
        """
        found = self._claims.retake(lane, me, in_hand)
        REDELIVERIES.labels(lane.value).inc(len(found))
        if room > len(found) and self._clock() >= self._hold_until and self._claims.uptime_s() >= self._lease_s:
            if self._at_work_since is None:
                self._at_work_since = self._clock()
            tried = self._clock() - self._at_work_since >= self._lease_s
            taken = self._claims.take_over(lane, me, room - len(found), tried=tried)
            fresh = [entry for entry in taken if entry.id not in in_hand]
            CLAIMS.labels(lane.value).inc(len(fresh))
            found += fresh
        if found:
            log.info("rescued", lane=str(lane), entries=len(found))
        return found

    def due(self) -> bool:
        """Whether it is time for a sweep; says so once a period."""
        if self._clock() < self._due_at:
            return False
        self._due_at = self._clock() + self._every_s
        return True
