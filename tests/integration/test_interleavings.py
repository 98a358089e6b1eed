"""No interleaving of puts, fetches, acks and worker deaths loses an entry or gives it to two live workers."""

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
    """A worker's state: the entries that it fetched under its present name and under previous ones."""

    lease: Lease
    in_hand: set[Entry] = field(default_factory=set)
    previous: set[Entry] = field(default_factory=set)
    lost: bool = False


lanes = st.sampled_from(Lane)
few = st.integers(1, 4)


class Interleavings(RuleBasedStateMachine):
    """Puts, fetches, acks and reclaims in any order, with deaths, lost leases and cut replies (INV-5, 7 and 8).

    No entry is lost: it stays in its lane until a worker that fetched it acks it, and can always be found.
    No entry is held twice: an entry that a worker fetched under a name with a lease is pending under that name, and
    no other worker with a lease holds the entry.
    """

    workers: Bundle[Worker] = Bundle("workers")

    def __init__(self) -> None:
        super().__init__()
        self.inbox = fake_inbox()
        self.reclaimer = Reclaimer(self.inbox)
        self.unacked: set[tuple[Lane, bytes]] = set()
        self.alive: list[Worker] = []

    @initialize(target=workers)
    def begin_with_work_for_two(self) -> MultipleResults[Worker]:
        """Without initial entries most first steps would do nothing, and few runs would find a fault."""
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
        self.unacked |= {(lane, entry_id) for entry_id in self.inbox.put(lane, [b"x"] * count)}

    @rule(worker=workers, lane=lanes, count=few, cut=st.booleans())
    def fetch(self, worker: Worker, lane: Lane, count: int, cut: bool) -> None:
        fetched = self.inbox.fetch(lane, worker.lease.consumer, count)
        worker.in_hand.update([] if cut else fetched)

    @rule(worker=workers, limit=few, cut=st.booleans())
    def reclaim(self, worker: Worker, limit: int, cut: bool) -> None:
        consumer = worker.lease.consumer
        for lane in Lane:
            in_hand = {entry.id for entry in worker.in_hand | worker.previous if entry.lane is lane}
            entries = self.reclaimer.recover_lost_replies(lane, consumer, in_hand)
            entries += self.reclaimer.reclaim(lane, consumer, limit)
            worker.in_hand.update([] if cut else entries)

    @rule(worker=workers, count=few)
    def ack(self, worker: Worker, count: int) -> None:
        done = sorted(worker.in_hand | worker.previous, key=lambda entry: (entry.id, entry.lane))[:count]
        self.inbox.ack(done)
        worker.in_hand.difference_update(done)
        worker.previous.difference_update(done)
        self.unacked -= {(entry.lane, entry.id) for entry in done}

    @rule(worker=workers)
    def lose_the_lease(self, worker: Worker) -> None:
        self.inbox.redis.delete(lease_key(worker.lease.consumer))
        worker.lost = True  # the worker notices the loss at its next refresh

    @rule(worker=workers)
    def refresh(self, worker: Worker) -> None:
        assert worker.lease.refresh() is not worker.lost
        if worker.lost:
            worker.previous |= worker.in_hand
            worker.in_hand, worker.lost = set(), False

    @rule(worker=consumes(workers))
    def die(self, worker: Worker) -> None:
        self.inbox.redis.delete(lease_key(worker.lease.consumer))
        self.alive.remove(worker)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.unacked == {
            (lane, entry_id) for lane in Lane for entry_id, _ in self.inbox.redis.xrange(stream_key(lane)) or ()
        }

    @invariant()
    def nothing_is_held_twice(self) -> None:
        leased_workers = [worker for worker in self.alive if not worker.lost]
        for lane in Lane:
            seen: set[bytes] = set()
            for worker in leased_workers:
                held_entries = {
                    entry.id for entry in worker.in_hand if entry.lane is lane and (lane, entry.id) in self.unacked
                }
                assert held_entries <= set(held(self.inbox, worker.lease.consumer, lane))
                assert held_entries.isdisjoint(seen)
                seen |= held_entries

    def teardown(self) -> None:
        """All workers die; their successor finds all remaining entries, and leaves nothing behind."""
        for worker in self.alive:
            worker.lease.release()
        successor = leased(self.inbox).consumer
        for lane in Lane:
            remaining = self.reclaimer.reclaim(lane, successor, 1000) + self.inbox.fetch(lane, successor, 1000)
            self.inbox.ack(remaining)
            assert sorted(ids(remaining)) == sorted(
                entry_id for entry_lane, entry_id in self.unacked if entry_lane is lane
            )
            self.reclaimer.reclaim(lane, successor, 1)
            assert consumers(self.inbox, lane) <= {successor}


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
