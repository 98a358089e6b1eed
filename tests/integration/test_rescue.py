"""When a worker looks for what others left, and when it must not."""

import pytest

from tests.integration.conftest import ids
from tests.support.consumers import held, leased, put_and_fetch
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox
from triagem.inbox.in_progress import InProgressMarkers
from triagem.inbox.lease import lease_key
from triagem.inbox.reclaim import Reclaimer
from triagem.worker.recovery import Recovery

LIVE, BULK = Lane


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """Over fakeredis and over the real server."""
    return either_inbox


@pytest.fixture
def claims(inbox: Inbox) -> Reclaimer:
    return Reclaimer(inbox)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class ClaimsAfter(Reclaimer):
    """Claims on a server that was started so many seconds before."""

    def __init__(self, inbox: Inbox, up_s: float, clock: Clock) -> None:
        super().__init__(inbox)
        self.born_at, self.clock = clock() - up_s, clock

    def uptime_s(self) -> float:
        return self.clock() - self.born_at


def rescue_of(inbox: Inbox, clock: Clock, *, up_s: float = 1e6) -> Recovery:
    return Recovery(ClaimsAfter(inbox, up_s, clock), every_s=5, lease_s=15, clock=clock)


def test_a_rescuer_looks_around_once_a_period(inbox: Inbox) -> None:
    """INV-5."""
    clock = Clock()
    recovery = rescue_of(inbox, clock)

    said = []
    for seconds in (0, 4.9, 0.1, 0, 5):
        clock.now += seconds
        said.append(recovery.due())

    assert said == [True, False, True, False, True]


def test_after_an_outage_a_rescuer_holds_for_one_lease_period(inbox: Inbox) -> None:
    """INV-8: living workers could not refresh their leases either, and get that long to do it."""
    clock = Clock()
    recovery = rescue_of(inbox, clock)
    assert recovery.due()
    taken = put_and_fetch(inbox, "dead", 1)

    recovery.suspend_reclaims()
    clock.now += 14.9
    assert recovery.recover(LIVE, "rescuer", set(), 10) == []

    clock.now += 0.1
    assert recovery.recover(LIVE, "rescuer", set(), 10) == taken


def test_a_rescuer_that_holds_still_takes_again_what_it_lost_itself(inbox: Inbox) -> None:
    """INV-5: replies are cut exactly when there is an outage."""
    recovery = rescue_of(inbox, Clock())
    put_and_fetch(inbox, "dead", 1)
    mine = put_and_fetch(inbox, "me", 2)

    recovery.suspend_reclaims()

    assert recovery.recover(LIVE, "me", {mine[0].id}, 10) == mine[1:]


@pytest.mark.parametrize(("up_s", "holds_s"), [(0, 15), (3, 12), (15, 0), (1e6, 0)])
def test_a_new_rescuer_gives_the_leases_time_that_a_young_redis_has_not_given_them(
    inbox: Inbox, up_s: float, holds_s: float
) -> None:
    """INV-8: a worker that boots after Redis did has seen no outage, but there was one."""
    clock = Clock()
    recovery = rescue_of(inbox, clock, up_s=up_s)
    taken = put_and_fetch(inbox, "dead", 1)
    assert recovery.due()

    if holds_s:
        clock.now += holds_s - 0.1
        assert recovery.recover(LIVE, "rescuer", set(), 10) == []
        clock.now += 0.1

    assert recovery.recover(LIVE, "rescuer", set(), 10) == taken


def test_a_rescuer_takes_no_more_than_it_has_room_for_and_its_own_first(inbox: Inbox) -> None:
    """INV-6."""
    recovery = rescue_of(inbox, Clock())
    dead = put_and_fetch(inbox, "dead", 3)
    mine = put_and_fetch(inbox, "me", 2)

    assert recovery.recover(LIVE, "me", set(), 3) == mine + dead[:1]


def test_a_worker_that_claims_from_its_own_former_name_is_not_handed_what_it_works_on(inbox: Inbox) -> None:
    """INV-8: after a lost lease it goes on under a new name with what it has in hand."""
    recovery = rescue_of(inbox, Clock())
    worker = leased(inbox)
    in_flight, lost = put_and_fetch(inbox, worker.consumer, 2)
    inbox.redis.delete(lease_key(worker.consumer))
    assert not worker.refresh()

    assert recovery.recover(LIVE, worker.consumer, {in_flight.id}, 10) == [lost]
    assert held(inbox, worker.consumer) == ids([in_flight, lost])


def test_a_suspect_that_ended_a_worker_alone_waits_until_this_worker_has_worked_for_a_lease_period(
    inbox: Inbox,
) -> None:
    """INV-9: workers that something else kills at once would condemn whatever comes first."""
    clock = Clock()
    recovery = rescue_of(inbox, clock)
    tried, other = put_and_fetch(inbox, "dead", 2)
    InProgressMarkers(inbox.redis).mark("dead", [tried], alone=True)

    found, in_flight = [], set[bytes]()
    for seconds in (1000, 14.9, 0.2):
        clock.now += seconds
        found.append(recovery.recover(LIVE, "worker", in_flight, 10))
        in_flight.update(ids(found[-1]))

    assert [ids(some) for some in found] == [[other.id], [], [tried.id]]
