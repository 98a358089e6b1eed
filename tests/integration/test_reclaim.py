"""Reclaiming entries of dead workers (INV-5, 7, 8): none is lost or given to two live workers."""

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


def test_entries_of_a_consumer_without_a_lease_are_claimed(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-8: at once, and with their payloads."""
    fetched = put_and_fetch(inbox, "dead", 3)

    assert reclaimer.reclaim(LIVE, "reclaimer", 10) == fetched
    assert held(inbox, "reclaimer") == ids(fetched)


def test_entries_of_a_leased_consumer_are_never_claimed_however_long_it_is_idle(
    inbox: Inbox, reclaimer: Reclaimer
) -> None:
    """INV-8: idle is not dead; a large model may compute for minutes."""
    worker = leased(inbox)
    fetched = ids(put_and_fetch(inbox, worker.consumer, 3))
    inbox.redis.xclaim(stream_key(LIVE), GROUP, worker.consumer, 0, fetched, idle=HOUR_MS)  # type: ignore[arg-type]

    assert reclaimer.reclaim(LIVE, "reclaimer", 10) == []
    assert held(inbox, worker.consumer) == fetched


def test_only_the_dead_are_claimed_from_where_living_and_dead_are_mixed(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-8."""
    worker = leased(inbox)
    live, dead = put_and_fetch(inbox, worker.consumer, 2), put_and_fetch(inbox, "dead", 2)

    assert reclaimer.reclaim(LIVE, "reclaimer", 10) == dead
    assert held(inbox, worker.consumer) == ids(live)


def test_entries_under_a_released_lease_can_be_claimed_at_once(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-8: no worker waits for a lease that was released."""
    worker = leased(inbox)
    fetched = put_and_fetch(inbox, worker.consumer, 2)

    worker.release()

    assert reclaimer.reclaim(LIVE, "reclaimer", 10) == fetched


def test_a_worker_without_a_lease_claims_nothing_from_itself(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-8: otherwise the worker would get the entries again on which it works."""
    put_and_fetch(inbox, "reclaimer", 2)

    assert reclaimer.reclaim(LIVE, "reclaimer", 10) == []


def test_lanes_are_claimed_separately(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-6."""
    live, bulk = (put_and_fetch(inbox, "dead", 2, lane) for lane in Lane)

    assert reclaimer.reclaim(BULK, "reclaimer", 10) == bulk
    assert reclaimer.reclaim(LIVE, "reclaimer", 10) == live


def test_no_more_is_claimed_than_the_limit(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-6: the oldest first, of one dead worker after another."""
    first, second = put_and_fetch(inbox, "dead-1", 3), put_and_fetch(inbox, "dead-2", 3)

    assert reclaimer.reclaim(LIVE, "reclaimer", 4) == first + second[:1]
    assert reclaimer.reclaim(LIVE, "reclaimer", 4) == second[1:]


def test_more_can_be_claimed_than_a_script_can_unpack(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-8: Lua unpacks at most about 8,000 values, so a second call claims the remaining entries."""
    fetched = put_and_fetch(inbox, "dead", 9000)

    claimed = [reclaimer.reclaim(LIVE, "reclaimer", 9000) for _ in range(9)]

    assert [entry for page in claimed for entry in page] == fetched


def test_two_concurrent_workers_never_claim_the_same_entry(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-8: checking the lease and claiming are one step."""
    fetched = put_and_fetch(inbox, "dead", 300)
    start = Barrier(2)

    def reclaim_all(consumer: str) -> list[bytes]:
        start.wait()
        return [entry.id for _ in range(50) for entry in reclaimer.reclaim(LIVE, consumer, 7)]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(reclaim_all, [leased(inbox).consumer for _ in range(2)])

    assert sorted(first + second) == sorted(ids(fetched))


def test_a_dead_consumer_that_holds_nothing_is_removed(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-7: names are used once, so unused consumers would accumulate."""
    inbox.ack(put_and_fetch(inbox, "dead", 1))

    reclaimer.reclaim(LIVE, "reclaimer", 10)

    assert consumers(inbox) == set()


def test_a_living_consumer_that_holds_nothing_is_not_removed(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-7: a live worker may be about to fetch."""
    worker = leased(inbox)
    inbox.ack(put_and_fetch(inbox, worker.consumer, 1))

    reclaimer.reclaim(LIVE, "reclaimer", 10)

    assert consumers(inbox) == {worker.consumer}


def test_a_dead_consumer_is_not_removed_while_something_is_pending_under_it(
    inbox: Inbox, reclaimer: Reclaimer
) -> None:
    """INV-7: XGROUP DELCONSUMER drops pending entries for ever."""
    put_and_fetch(inbox, "dead", 3)

    names = []
    for _ in range(3):
        reclaimer.reclaim(LIVE, "reclaimer", 2)
        names.append(consumers(inbox))
        assert inbox.in_flight(LIVE) == 3

    assert names == [{"dead", "reclaimer"}, {"dead", "reclaimer"}, {"reclaimer"}]


def test_claiming_without_a_group_raises(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-7: after a flush, workers create the groups again."""
    inbox.redis.flushall()

    with pytest.raises(GroupMissing):
        reclaimer.reclaim(LIVE, "me", 1)
    with pytest.raises(GroupMissing):
        reclaimer.recover_lost_replies(LIVE, "me", set())
