"""When to look for entries that nobody works on, and whose: dead workers' and our own lost replies.

Suspicion, bisection and dead letters of poisonous tickets (PIPE 9 to 11) will live here.
"""

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet

import structlog

from contracts.ticket import Lane
from inbox import Entry
from inbox.claims import Claims
from worker.metrics import RESCUED

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
        self._hold_until = float("-inf")

    def hold(self) -> None:
        """Redis was away: claim nothing for one lease period. Otherwise every outage longer than a lease would
        make living workers steal from each other, because their leases ended while nobody could refresh them."""
        self._hold_until = self._clock() + self._lease_s

    def sweep(self, lane: Lane, me: str, in_hand: AbstractSet[bytes], room: int) -> list[Entry]:
        """Entries to work on: lost replies always, dead workers' while not held. Raises what Claims raises."""
        found = self._claims.retake(lane, me, in_hand)
        if self._clock() >= self._hold_until and room > len(found):
            found += [
                entry for entry in self._claims.take_over(lane, me, room - len(found)) if entry.id not in in_hand
            ]
        if found:
            RESCUED.inc(len(found))
            log.info("rescued", lane=str(lane), entries=len(found))
        return found

    def due(self) -> bool:
        """Whether it is time for a sweep; says so once a period. The first one also asks how long Redis is up."""
        if self._clock() < self._due_at:
            return False
        if self._hold_until == float("-inf"):
            self._hold_until = self._clock() + max(0.0, self._lease_s - self._claims.uptime_s())
        self._due_at = self._clock() + self._every_s
        return True
