"""Recovery of entries: when a worker reclaims dead workers' entries, and when it must not."""

import pytest

from tests.integration.conftest import ids
from tests.support.builders import Clock
from tests.support.consumers import held, leased, put_and_fetch
from triagem.contracts.errors import InboxUnavailable
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox
from triagem.inbox.lease import lease_key
from triagem.inbox.reclaim import Reclaimer, mark_in_progress
from triagem.worker.in_flight import Recovery

LIVE, BULK = Lane


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """On fakeredis and on the real server."""
    return either_inbox


class ReclaimerWithUptime(Reclaimer):
    """Reclaims on a server with the given uptime."""

    def __init__(self, inbox: Inbox, up_s: float, clock: Clock) -> None:
        super().__init__(inbox)
        self.started_at, self.clock = clock() - up_s, clock

    def uptime_s(self) -> float:
        return self.clock() - self.started_at


def make_recovery(inbox: Inbox, clock: Clock, *, up_s: float = 1e6) -> Recovery:
    return Recovery(ReclaimerWithUptime(inbox, up_s, clock), every_s=5, lease_s=15, clock=clock)


def test_recovery_is_due_once_per_period(inbox: Inbox) -> None:
    """INV-5."""
    clock = Clock()
    recovery = make_recovery(inbox, clock)

    due = []
    for seconds in (0, 4.9, 0.1, 0, 5):
        clock.now += seconds
        due.append(recovery.due())

    assert due == [True, False, True, False, True]


def test_after_an_outage_recovery_waits_one_lease_period(inbox: Inbox) -> None:
    """INV-8: live workers could not refresh their leases during the outage either; this wait lets them do so."""
    clock = Clock()
    recovery = make_recovery(inbox, clock)
    assert recovery.due()
    entries = put_and_fetch(inbox, "dead", 1)

    recovery.on_outage(InboxUnavailable("Redis does not answer"))
    clock.now += 14.9
    assert recovery.recover(LIVE, "reclaimer", set(), 10) == []

    clock.now += 0.1
    assert recovery.recover(LIVE, "reclaimer", set(), 10) == entries


def test_a_waiting_worker_still_recovers_its_own_lost_replies(inbox: Inbox) -> None:
    """INV-5: replies are cut off during outages."""
    recovery = make_recovery(inbox, Clock())
    put_and_fetch(inbox, "dead", 1)
    own = put_and_fetch(inbox, "me", 2)

    recovery.on_outage(InboxUnavailable("Redis does not answer"))

    assert recovery.recover(LIVE, "me", {own[0].id}, 10) == own[1:]


@pytest.mark.parametrize(("up_s", "holds_s"), [(0, 15), (3, 12), (15, 0), (1e6, 0)])
def test_a_new_worker_waits_until_redis_has_been_up_for_one_lease_period(
    inbox: Inbox, up_s: float, holds_s: float
) -> None:
    """INV-8: there was an outage even if a worker that started after Redis did not see it."""
    clock = Clock()
    recovery = make_recovery(inbox, clock, up_s=up_s)
    entries = put_and_fetch(inbox, "dead", 1)
    assert recovery.due()

    if holds_s:
        clock.now += holds_s - 0.1
        assert recovery.recover(LIVE, "reclaimer", set(), 10) == []
        clock.now += 0.1

    assert recovery.recover(LIVE, "reclaimer", set(), 10) == entries


def test_recovery_respects_the_limit_and_takes_own_entries_first(inbox: Inbox) -> None:
    """INV-6."""
    recovery = make_recovery(inbox, Clock())
    dead = put_and_fetch(inbox, "dead", 3)
    own = put_and_fetch(inbox, "me", 2)

    assert recovery.recover(LIVE, "me", set(), 3) == own + dead[:1]


def test_a_worker_does_not_reclaim_entries_in_flight_from_its_previous_name(inbox: Inbox) -> None:
    """INV-8: after a lost lease it continues under a new name with its entries in flight."""
    recovery = make_recovery(inbox, Clock())
    worker = leased(inbox)
    in_flight, lost = put_and_fetch(inbox, worker.consumer, 2)
    inbox.redis.delete(lease_key(worker.consumer))
    assert not worker.refresh()

    assert recovery.recover(LIVE, worker.consumer, {in_flight.id}, 10) == [lost]
    assert held(inbox, worker.consumer) == ids([in_flight, lost])


def test_a_suspect_that_crashed_a_worker_alone_waits_until_this_worker_has_run_for_a_lease_period(
    inbox: Inbox,
) -> None:
    """INV-9: otherwise, workers that die at start for another reason would dead-letter the first entries."""
    clock = Clock()
    recovery = make_recovery(inbox, clock)
    suspect, other = put_and_fetch(inbox, "dead", 2)
    mark_in_progress(inbox.redis, "dead", [suspect], alone=True)

    recovered, in_flight = [], set[bytes]()
    for seconds in (1000, 14.9, 0.2):
        clock.now += seconds
        recovered.append(recovery.recover(LIVE, "worker", in_flight, 10))
        in_flight.update(ids(recovered[-1]))

    assert [ids(entries) for entries in recovered] == [[other.id], [], [suspect.id]]
