"""Who takes over whose entries (INV-5, 7, 8), and that no interleaving loses one or gives it to two live workers."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.integration.conftest import ids
from tests.support.consumers import HOUR_MS, consumers, held, leased, put_and_fetch
from triagem.contracts.errors import GroupMissing
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox
from triagem.inbox.reclaim import Reclaimer
from triagem.inbox.stream import GROUP, stream_key

LIVE, BULK = Lane


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """Over fakeredis and over the real server."""
    return either_inbox


@pytest.fixture
def claims(inbox: Inbox) -> Reclaimer:
    return Reclaimer(inbox)


def test_entries_of_a_consumer_without_a_lease_are_claimed(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-8: at once, and with what they hold."""
    taken = put_and_fetch(inbox, "dead", 3)

    assert claims.reclaim(LIVE, "rescuer", 10) == taken
    assert held(inbox, "rescuer") == ids(taken)


def test_entries_of_a_leased_consumer_are_never_claimed_however_long_it_is_idle(
    inbox: Inbox, claims: Reclaimer
) -> None:
    """INV-8: idle is not dead; a large model may think for minutes."""
    worker = leased(inbox)
    taken = ids(put_and_fetch(inbox, worker.consumer, 3))
    inbox.redis.xclaim(stream_key(LIVE), GROUP, worker.consumer, 0, taken, idle=HOUR_MS)  # type: ignore[arg-type]

    assert claims.reclaim(LIVE, "rescuer", 10) == []
    assert held(inbox, worker.consumer) == taken


def test_only_the_dead_are_claimed_from_where_living_and_dead_are_mixed(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-8."""
    worker = leased(inbox)
    live, dead = put_and_fetch(inbox, worker.consumer, 2), put_and_fetch(inbox, "dead", 2)

    assert claims.reclaim(LIVE, "rescuer", 10) == dead
    assert held(inbox, worker.consumer) == ids(live)


def test_what_a_released_lease_covered_can_be_claimed_at_once(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-8: nobody waits for a worker that said goodbye."""
    worker = leased(inbox)
    taken = put_and_fetch(inbox, worker.consumer, 2)

    worker.release()

    assert claims.reclaim(LIVE, "rescuer", 10) == taken


def test_a_rescuer_without_a_lease_claims_nothing_from_itself(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-8: it would be handed again what it is working on."""
    put_and_fetch(inbox, "rescuer", 2)

    assert claims.reclaim(LIVE, "rescuer", 10) == []


def test_lanes_are_claimed_separately(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-6."""
    live, bulk = (put_and_fetch(inbox, "dead", 2, lane) for lane in Lane)

    assert claims.reclaim(BULK, "rescuer", 10) == bulk
    assert claims.reclaim(LIVE, "rescuer", 10) == live


def test_no_more_is_claimed_than_there_is_room_for(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-6: the oldest first, of one dead worker after another."""
    first, second = put_and_fetch(inbox, "dead-1", 3), put_and_fetch(inbox, "dead-2", 3)

    assert claims.reclaim(LIVE, "rescuer", 4) == first + second[:1]
    assert claims.reclaim(LIVE, "rescuer", 4) == second[1:]


def test_more_can_be_claimed_than_a_script_can_unpack(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-8: Lua holds some 8,000 values; the remainder follows."""
    taken = put_and_fetch(inbox, "dead", 9000)

    claimed = [claims.reclaim(LIVE, "rescuer", 9000) for _ in range(9)]

    assert [entry for page in claimed for entry in page] == taken


def test_two_rescuers_at_once_never_take_the_same_entry(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-8: asking for the lease and claiming are one step."""
    taken = put_and_fetch(inbox, "dead", 300)
    start = Barrier(2)

    def rescue(consumer: str) -> list[bytes]:
        start.wait()
        return [entry.id for _ in range(50) for entry in claims.reclaim(LIVE, consumer, 7)]

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(rescue, [leased(inbox).consumer for _ in range(2)])

    assert sorted(one + other) == sorted(ids(taken))


def test_a_dead_consumer_that_holds_nothing_is_removed(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-7: names are used once, so they would pile up."""
    inbox.ack(put_and_fetch(inbox, "dead", 1))

    claims.reclaim(LIVE, "rescuer", 10)

    assert consumers(inbox) == set()


def test_a_living_consumer_that_holds_nothing_is_not_removed(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-7: it may be about to take."""
    worker = leased(inbox)
    inbox.ack(put_and_fetch(inbox, worker.consumer, 1))

    claims.reclaim(LIVE, "rescuer", 10)

    assert consumers(inbox) == {worker.consumer}


def test_a_dead_consumer_is_not_removed_while_something_is_pending_under_it(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-7: XGROUP DELCONSUMER drops pending entries for ever."""
    put_and_fetch(inbox, "dead", 3)

    names = []
    for _ in range(3):
        claims.reclaim(LIVE, "rescuer", 2)
        names.append(consumers(inbox))
        assert inbox.in_flight(LIVE) == 3

    assert names == [{"dead", "rescuer"}, {"dead", "rescuer"}, {"rescuer"}]


def test_claiming_without_a_group_says_so(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-7: after a flush, workers make the groups anew."""
    inbox.redis.flushall()

    with pytest.raises(GroupMissing):
        claims.reclaim(LIVE, "me", 1)
    with pytest.raises(GroupMissing):
        claims.recover_lost_replies(LIVE, "me", set())
