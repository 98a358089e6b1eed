"""Who takes over whose entries (PIPE 5, 7, 8), and that no interleaving loses one or gives it to two live workers."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from typing import cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from contracts.errors import GroupMissing
from contracts.ticket import Lane
from inbox import Entry, Inbox
from inbox.claims import Claims
from inbox.lease import Lease, lease_key
from inbox.stream import GROUP, stream_key
from tests.integration.conftest import fake_inbox, ids
from worker.rescue import Rescue

LIVE, BULK = Lane
HOUR_MS = 3_600_000


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """Over fakeredis and over the real server."""
    return either_inbox


@pytest.fixture
def claims(inbox: Inbox) -> Claims:
    return Claims(inbox)


def leased(inbox: Inbox) -> Lease:
    lease = Lease(inbox.redis, 60)
    lease.take()
    return lease


def put_and_take(inbox: Inbox, consumer: str, count: int, lane: Lane = LIVE) -> list[Entry]:
    inbox.put(lane, [b"x"] * count)
    taken = inbox.take(lane, consumer, count)
    assert len(taken) == count
    return taken


def held(inbox: Inbox, consumer: str, lane: Lane = LIVE) -> list[bytes]:
    rows = inbox.redis.xpending_range(stream_key(lane), GROUP, "-", "+", 10_000, consumer)
    return [cast("bytes", row["message_id"]) for row in rows]


def consumers(inbox: Inbox, lane: Lane = LIVE) -> set[str]:
    return {row["name"].decode() for row in inbox.redis.xinfo_consumers(stream_key(lane), GROUP)}


def test_entries_of_a_consumer_without_a_lease_are_claimed(inbox: Inbox, claims: Claims) -> None:
    """PIPE 8: at once, and with what they hold."""
    taken = put_and_take(inbox, "dead", 3)

    assert claims.take_over(LIVE, "rescuer", 10) == taken
    assert held(inbox, "rescuer") == ids(taken)


def test_entries_of_a_leased_consumer_are_never_claimed_however_long_it_is_idle(inbox: Inbox, claims: Claims) -> None:
    """PIPE 8: idle is not dead; a large model may think for minutes."""
    worker = leased(inbox)
    taken = ids(put_and_take(inbox, worker.consumer, 3))
    inbox.redis.xclaim(stream_key(LIVE), GROUP, worker.consumer, 0, taken, idle=HOUR_MS)  # type: ignore[arg-type]

    assert claims.take_over(LIVE, "rescuer", 10) == []
    assert held(inbox, worker.consumer) == taken


def test_only_the_dead_are_claimed_from_where_living_and_dead_are_mixed(inbox: Inbox, claims: Claims) -> None:
    """PIPE 8."""
    worker = leased(inbox)
    living, dead = put_and_take(inbox, worker.consumer, 2), put_and_take(inbox, "dead", 2)

    assert claims.take_over(LIVE, "rescuer", 10) == dead
    assert held(inbox, worker.consumer) == ids(living)


def test_what_a_released_lease_covered_can_be_claimed_at_once(inbox: Inbox, claims: Claims) -> None:
    """PIPE 8: nobody waits for a worker that said goodbye."""
    worker = leased(inbox)
    taken = put_and_take(inbox, worker.consumer, 2)

    worker.release()

    assert claims.take_over(LIVE, "rescuer", 10) == taken


def test_a_rescuer_without_a_lease_claims_nothing_from_itself(inbox: Inbox, claims: Claims) -> None:
    """PIPE 8: it would be handed again what it is working on."""
    put_and_take(inbox, "rescuer", 2)

    assert claims.take_over(LIVE, "rescuer", 10) == []


def test_lanes_are_claimed_separately(inbox: Inbox, claims: Claims) -> None:
    """PIPE 6."""
    live, bulk = (put_and_take(inbox, "dead", 2, lane) for lane in Lane)

    assert claims.take_over(BULK, "rescuer", 10) == bulk
    assert claims.take_over(LIVE, "rescuer", 10) == live


def test_no_more_is_claimed_than_there_is_room_for(inbox: Inbox, claims: Claims) -> None:
    """PIPE 6: the oldest first, of one dead worker after another."""
    first, second = put_and_take(inbox, "dead-1", 3), put_and_take(inbox, "dead-2", 3)

    assert claims.take_over(LIVE, "rescuer", 4) == first + second[:1]
    assert claims.take_over(LIVE, "rescuer", 4) == second[1:]


def test_more_can_be_claimed_than_a_script_can_unpack(inbox: Inbox, claims: Claims) -> None:
    """PIPE 8: Lua holds some 8,000 values; the remainder follows."""
    taken = put_and_take(inbox, "dead", 9000)

    claimed = [claims.take_over(LIVE, "rescuer", 9000) for _ in range(9)]

    assert [entry for page in claimed for entry in page] == taken


def test_two_rescuers_at_once_never_take_the_same_entry(inbox: Inbox, claims: Claims) -> None:
    """PIPE 8: asking for the lease and claiming are one step."""
    taken = put_and_take(inbox, "dead", 300)
    start = Barrier(2)

    def rescue(consumer: str) -> list[bytes]:
        start.wait()
        return [entry.id for _ in range(50) for entry in claims.take_over(LIVE, consumer, 7)]

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(rescue, [leased(inbox).consumer for _ in range(2)])

    assert sorted(one + other) == sorted(ids(taken))


def test_a_dead_consumer_that_holds_nothing_is_removed(inbox: Inbox, claims: Claims) -> None:
    """PIPE 7: names are used once, so they would pile up."""
    inbox.settle(put_and_take(inbox, "dead", 1))

    claims.take_over(LIVE, "rescuer", 10)

    assert consumers(inbox) == set()


def test_a_living_consumer_that_holds_nothing_is_not_removed(inbox: Inbox, claims: Claims) -> None:
    """PIPE 7: it may be about to take."""
    worker = leased(inbox)
    inbox.settle(put_and_take(inbox, worker.consumer, 1))

    claims.take_over(LIVE, "rescuer", 10)

    assert consumers(inbox) == {worker.consumer}


def test_a_dead_consumer_is_not_removed_while_something_is_pending_under_it(inbox: Inbox, claims: Claims) -> None:
    """PIPE 7: XGROUP DELCONSUMER drops pending entries for ever."""
    put_and_take(inbox, "dead", 3)

    names = []
    for _ in range(3):
        claims.take_over(LIVE, "rescuer", 2)
        names.append(consumers(inbox))
        assert inbox.in_flight(LIVE) == 3

    assert names == [{"dead", "rescuer"}, {"dead", "rescuer"}, {"rescuer"}]


def test_claiming_without_a_group_says_so(inbox: Inbox, claims: Claims) -> None:
    """PIPE 7: after a flush, workers make the groups anew."""
    inbox.redis.flushall()

    with pytest.raises(GroupMissing):
        claims.take_over(LIVE, "me", 1)
    with pytest.raises(GroupMissing):
        claims.retake(LIVE, "me", set())


def test_a_worker_that_leaves_removes_its_own_name_from_both_lanes(inbox: Inbox, claims: Claims) -> None:
    """PIPE 7."""
    worker = leased(inbox)
    for lane in Lane:
        inbox.settle(put_and_take(inbox, worker.consumer, 1, lane))
    worker.release()

    claims.retire(worker.consumer)

    assert [consumers(inbox, lane) for lane in Lane] == [set(), set()]


def test_a_worker_that_leaves_with_entries_pending_keeps_its_name(inbox: Inbox, claims: Claims) -> None:
    """PIPE 7: others find them under it."""
    worker = leased(inbox)
    taken = put_and_take(inbox, worker.consumer, 1)
    worker.release()

    claims.retire(worker.consumer)

    assert claims.take_over(LIVE, "rescuer", 10) == taken


def test_a_name_with_a_lease_is_not_removed_even_by_its_own_worker(inbox: Inbox, claims: Claims) -> None:
    """PIPE 7: first the lease, then the name."""
    worker = leased(inbox)
    inbox.settle(put_and_take(inbox, worker.consumer, 1))

    claims.retire(worker.consumer)

    assert consumers(inbox) == {worker.consumer}


def test_what_redis_says_we_hold_and_we_do_not_is_taken_again(inbox: Inbox, claims: Claims) -> None:
    """PIPE 5: and it stays ours."""
    taken = put_and_take(inbox, "me", 4)

    assert claims.retake(LIVE, "me", {taken[0].id, taken[2].id}) == [taken[1], taken[3]]
    assert held(inbox, "me") == ids(taken)


def test_nothing_is_taken_again_while_all_is_in_hand(inbox: Inbox, claims: Claims) -> None:
    """PIPE 5."""
    taken = put_and_take(inbox, "me", 4)

    assert claims.retake(LIVE, "me", set(ids(taken))) == []


def test_what_others_hold_or_nobody_is_not_taken_again(inbox: Inbox, claims: Claims) -> None:
    """PIPE 5."""
    put_and_take(inbox, "other", 2)
    inbox.put(LIVE, [b"waits"])

    assert claims.retake(LIVE, "me", set()) == []


def test_what_was_deleted_while_it_was_pending_is_not_taken_again(inbox: Inbox, claims: Claims) -> None:
    """PIPE 5: somebody ran XDEL by hand; there is nothing left to work on."""
    gone, kept = put_and_take(inbox, "me", 2)
    inbox.redis.xdel(stream_key(LIVE), gone.id)

    assert claims.retake(LIVE, "me", set()) == [kept]
    assert claims.take_over(LIVE, "rescuer", 10) == [kept]


def test_settling_what_was_claimed_meanwhile_is_harmless(inbox: Inbox, claims: Claims) -> None:
    """PIPE 8: a worker that was thought dead had committed its window; the other's settling finds nothing."""
    taken = put_and_take(inbox, "thought-dead", 3)
    claimed = claims.take_over(LIVE, "rescuer", 2)

    inbox.settle(taken)
    assert (held(inbox, "rescuer"), inbox.redis.xlen(stream_key(LIVE))) == ([], 0)

    inbox.settle(claimed)
    assert inbox.depth(LIVE).in_flight == 0


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class ClaimsAfter(Claims):
    """Claims on a server that was started so many seconds before."""

    def __init__(self, inbox: Inbox, up_s: float, clock: Clock) -> None:
        super().__init__(inbox)
        self.born_at, self.clock = clock() - up_s, clock

    def uptime_s(self) -> float:
        return self.clock() - self.born_at


def rescue_of(inbox: Inbox, clock: Clock, *, up_s: float = 1e6) -> Rescue:
    return Rescue(ClaimsAfter(inbox, up_s, clock), every_s=5, lease_s=15, clock=clock)


def test_a_rescuer_looks_around_once_a_period(inbox: Inbox) -> None:
    """PIPE 5."""
    clock = Clock()
    rescue = rescue_of(inbox, clock)

    said = []
    for seconds in (0, 4.9, 0.1, 0, 5):
        clock.now += seconds
        said.append(rescue.due())

    assert said == [True, False, True, False, True]


def test_after_an_outage_a_rescuer_holds_for_one_lease_period(inbox: Inbox) -> None:
    """PIPE 8: living workers could not refresh their leases either, and get that long to do it."""
    clock = Clock()
    rescue = rescue_of(inbox, clock)
    assert rescue.due()
    taken = put_and_take(inbox, "dead", 1)

    rescue.hold()
    clock.now += 14.9
    assert rescue.sweep(LIVE, "rescuer", set(), 10) == []

    clock.now += 0.1
    assert rescue.sweep(LIVE, "rescuer", set(), 10) == taken


def test_a_rescuer_that_holds_still_takes_again_what_it_lost_itself(inbox: Inbox) -> None:
    """PIPE 5: replies are cut exactly when there is an outage."""
    rescue = rescue_of(inbox, Clock())
    put_and_take(inbox, "dead", 1)
    mine = put_and_take(inbox, "me", 2)

    rescue.hold()

    assert rescue.sweep(LIVE, "me", {mine[0].id}, 10) == mine[1:]


@pytest.mark.parametrize(("up_s", "holds_s"), [(0, 15), (3, 12), (15, 0), (1e6, 0)])
def test_a_new_rescuer_gives_the_leases_time_that_a_young_redis_has_not_given_them(
    inbox: Inbox, up_s: float, holds_s: float
) -> None:
    """PIPE 8: a worker that boots after Redis did has seen no outage, but there was one."""
    clock = Clock()
    rescue = rescue_of(inbox, clock, up_s=up_s)
    taken = put_and_take(inbox, "dead", 1)
    assert rescue.due()

    if holds_s:
        clock.now += holds_s - 0.1
        assert rescue.sweep(LIVE, "rescuer", set(), 10) == []
        clock.now += 0.1

    assert rescue.sweep(LIVE, "rescuer", set(), 10) == taken


def test_a_rescuer_takes_no_more_than_it_has_room_for_and_its_own_first(inbox: Inbox) -> None:
    """PIPE 6."""
    rescue = rescue_of(inbox, Clock())
    dead = put_and_take(inbox, "dead", 3)
    mine = put_and_take(inbox, "me", 2)

    assert rescue.sweep(LIVE, "me", set(), 3) == mine + dead[:1]


def test_a_worker_that_claims_from_its_own_former_name_is_not_handed_what_it_works_on(inbox: Inbox) -> None:
    """PIPE 8: after a lost lease it goes on under a new name with what it has in hand."""
    rescue = rescue_of(inbox, Clock())
    worker = leased(inbox)
    in_hand, lost = put_and_take(inbox, worker.consumer, 2)
    inbox.redis.delete(lease_key(worker.consumer))
    assert not worker.refresh()

    assert rescue.sweep(LIVE, worker.consumer, {in_hand.id}, 10) == [lost]
    assert held(inbox, worker.consumer) == ids([in_hand, lost])


@dataclass(eq=False)
class Worker:
    """What one worker knows: what it took under its present name, and under former ones."""

    lease: Lease
    in_hand: set[Entry] = field(default_factory=set)
    former: set[Entry] = field(default_factory=set)
    lost: bool = False


lanes = st.sampled_from(Lane)
few = st.integers(1, 4)


class Interleavings(RuleBasedStateMachine):
    """Producers, workers and rescuers in any order, with deaths, lost leases and cut replies (PIPE 5, 7 and 8).

    Nothing is lost: an entry stays in its lane until somebody who took it settles it, and can always be found.
    Nothing is held twice: what a worker took under a name whose lease stands is pending under that name and in
    no other such worker's hands.
    """

    workers: Bundle[Worker] = Bundle("workers")

    def __init__(self) -> None:
        super().__init__()
        self.inbox = fake_inbox()
        self.claims = Claims(self.inbox)
        self.unsettled: set[tuple[Lane, bytes]] = set()
        self.alive: list[Worker] = []

    @initialize(target=workers)
    def begin_with_work_for_two(self) -> MultipleResults[Worker]:
        """Most first steps would do nothing otherwise, and faults be found only now and then."""
        for lane in Lane:
            self.put(lane, 8)
        return multiple(self.new_worker(), self.new_worker())

    def new_worker(self) -> Worker:
        self.alive.append(Worker(leased(self.inbox)))
        return self.alive[-1]

    @rule(target=workers)
    def boot(self) -> Worker:
        return self.new_worker()

    @rule(lane=lanes, count=few)
    def put(self, lane: Lane, count: int) -> None:
        self.unsettled |= {(lane, entry_id) for entry_id in self.inbox.put(lane, [b"x"] * count)}

    @rule(worker=workers, lane=lanes, count=few, cut=st.booleans())
    def take(self, worker: Worker, lane: Lane, count: int, cut: bool) -> None:
        taken = self.inbox.take(lane, worker.lease.consumer, count)
        worker.in_hand.update([] if cut else taken)

    @rule(worker=workers, room=few, cut=st.booleans())
    def rescue(self, worker: Worker, room: int, cut: bool) -> None:
        me = worker.lease.consumer
        for lane in Lane:
            in_hand = {entry.id for entry in worker.in_hand | worker.former if entry.lane is lane}
            found = self.claims.retake(lane, me, in_hand) + self.claims.take_over(lane, me, room)
            worker.in_hand.update([] if cut else found)

    @rule(worker=workers, count=few)
    def settle(self, worker: Worker, count: int) -> None:
        done = sorted(worker.in_hand | worker.former, key=lambda entry: (entry.id, entry.lane))[:count]
        self.inbox.settle(done)
        worker.in_hand.difference_update(done)
        worker.former.difference_update(done)
        self.unsettled -= {(entry.lane, entry.id) for entry in done}

    @rule(worker=workers)
    def lose_the_lease(self, worker: Worker) -> None:
        self.inbox.redis.delete(lease_key(worker.lease.consumer))
        worker.lost = True  # which it learns when it refreshes

    @rule(worker=workers)
    def refresh(self, worker: Worker) -> None:
        assert worker.lease.refresh() is not worker.lost
        if worker.lost:
            worker.former |= worker.in_hand
            worker.in_hand, worker.lost = set(), False

    @rule(worker=consumes(workers))
    def die(self, worker: Worker) -> None:
        self.inbox.redis.delete(lease_key(worker.lease.consumer))
        self.alive.remove(worker)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.unsettled == {
            (lane, entry_id) for lane in Lane for entry_id, _ in self.inbox.redis.xrange(stream_key(lane)) or ()
        }

    @invariant()
    def nothing_is_held_twice(self) -> None:
        hands = [worker for worker in self.alive if not worker.lost]
        for lane in Lane:
            seen: set[bytes] = set()
            for worker in hands:
                mine = {
                    entry.id for entry in worker.in_hand if entry.lane is lane and (lane, entry.id) in self.unsettled
                }
                assert mine <= set(held(self.inbox, worker.lease.consumer, lane))
                assert mine.isdisjoint(seen)
                seen |= mine

    def teardown(self) -> None:
        """All die; one who comes after them finds everything that is left, and leaves nothing behind."""
        for worker in self.alive:
            worker.lease.release()
        heir = leased(self.inbox).consumer
        for lane in Lane:
            left = self.claims.take_over(lane, heir, 1000) + self.inbox.take(lane, heir, 1000)
            self.inbox.settle(left)
            assert sorted(ids(left)) == sorted(entry_id for of, entry_id in self.unsettled if of is lane)
            self.claims.take_over(lane, heir, 1)
            assert consumers(self.inbox, lane) <= {heir}


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
