"""No interleaving of puts, takes, settles and deaths loses an entry, or gives it to two living workers."""

from dataclasses import dataclass, field

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

from tests.integration.conftest import fake_inbox, ids
from tests.support.consumers import consumers, held, leased
from triagem.contracts.ticket import Lane
from triagem.inbox import Entry
from triagem.inbox.lease import Lease, lease_key
from triagem.inbox.reclaim import Reclaimer
from triagem.inbox.stream import stream_key

LIVE, BULK = Lane
HOUR_MS = 3_600_000


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
    """Producers, workers and rescuers in any order, with deaths, lost leases and cut replies (INV-5, 7 and 8).

    Nothing is lost: an entry stays in its lane until somebody who took it settles it, and can always be found.
    Nothing is held twice: what a worker took under a name whose lease stands is pending under that name and in
    no other such worker's hands.
    """

    workers: Bundle[Worker] = Bundle("workers")

    def __init__(self) -> None:
        super().__init__()
        self.inbox = fake_inbox()
        self.claims = Reclaimer(self.inbox)
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
        taken = self.inbox.fetch(lane, worker.lease.consumer, count)
        worker.in_hand.update([] if cut else taken)

    @rule(worker=workers, room=few, cut=st.booleans())
    def rescue(self, worker: Worker, room: int, cut: bool) -> None:
        me = worker.lease.consumer
        for lane in Lane:
            in_hand = {entry.id for entry in worker.in_hand | worker.former if entry.lane is lane}
            found = self.claims.recover_lost_replies(lane, me, in_hand) + self.claims.reclaim(lane, me, room)
            worker.in_hand.update([] if cut else found)

    @rule(worker=workers, count=few)
    def settle(self, worker: Worker, count: int) -> None:
        done = sorted(worker.in_hand | worker.former, key=lambda entry: (entry.id, entry.lane))[:count]
        self.inbox.ack(done)
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
            left = self.claims.reclaim(lane, heir, 1000) + self.inbox.fetch(lane, heir, 1000)
            self.inbox.ack(left)
            assert sorted(ids(left)) == sorted(entry_id for of, entry_id in self.unsettled if of is lane)
            self.claims.reclaim(lane, heir, 1)
            assert consumers(self.inbox, lane) <= {heir}


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
