"""A worker's own consumer name and entries: recovery of lost replies, and removal of the consumer."""

import pytest

from tests.integration.conftest import ids
from tests.support.consumers import consumers, held, leased, put_and_fetch
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox
from triagem.inbox.reclaim import Reclaimer
from triagem.inbox.stream import stream_key

LIVE, BULK = Lane


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """On fakeredis and on the real server."""
    return either_inbox


def test_a_stopping_worker_removes_its_consumer_from_both_lanes(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-7."""
    worker = leased(inbox)
    for lane in Lane:
        inbox.ack(put_and_fetch(inbox, worker.consumer, 1, lane))
    worker.release()

    reclaimer.remove_consumer(worker.consumer)

    assert [consumers(inbox, lane) for lane in Lane] == [set(), set()]


def test_a_stopping_worker_with_pending_entries_keeps_its_consumer(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-7: other workers reclaim the entries from the consumer."""
    worker = leased(inbox)
    entries = put_and_fetch(inbox, worker.consumer, 1)
    worker.release()

    reclaimer.remove_consumer(worker.consumer)

    assert reclaimer.reclaim(LIVE, "other", 10) == entries


def test_a_consumer_with_a_lease_is_not_removed_even_by_its_own_worker(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-7: first the lease is released, then the consumer is removed."""
    worker = leased(inbox)
    inbox.ack(put_and_fetch(inbox, worker.consumer, 1))

    reclaimer.remove_consumer(worker.consumer)

    assert consumers(inbox) == {worker.consumer}


def test_pending_entries_that_the_worker_does_not_have_are_recovered(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-5: the recovered entries stay pending under the worker's own name."""
    entries = put_and_fetch(inbox, "me", 4)

    assert reclaimer.recover_lost_replies(LIVE, "me", {entries[0].id, entries[2].id}) == [entries[1], entries[3]]
    assert held(inbox, "me") == ids(entries)


def test_nothing_is_recovered_when_no_reply_was_lost(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-5."""
    entries = put_and_fetch(inbox, "me", 4)

    assert reclaimer.recover_lost_replies(LIVE, "me", set(ids(entries))) == []


def test_entries_of_others_and_unfetched_entries_are_not_recovered(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-5."""
    put_and_fetch(inbox, "other", 2)
    inbox.put(LIVE, [b"waits"])

    assert reclaimer.recover_lost_replies(LIVE, "me", set()) == []


def test_entries_deleted_while_pending_are_not_recovered(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-5: an entry that a manual XDEL deleted cannot be processed."""
    gone, kept = put_and_fetch(inbox, "me", 2)
    inbox.redis.xdel(stream_key(LIVE), gone.id)

    assert reclaimer.recover_lost_replies(LIVE, "me", set()) == [kept]
    assert reclaimer.reclaim(LIVE, "other", 10) == [kept]


def test_acknowledging_reclaimed_entries_is_harmless(inbox: Inbox, reclaimer: Reclaimer) -> None:
    """INV-8: a worker presumed dead acknowledges its window, so the other worker's ack finds no entry."""
    entries = put_and_fetch(inbox, "presumed-dead", 3)
    reclaimed = reclaimer.reclaim(LIVE, "other", 2)

    inbox.ack(entries)
    assert (held(inbox, "other"), inbox.redis.xlen(stream_key(LIVE))) == ([], 0)

    inbox.ack(reclaimed)
    assert inbox.depth(LIVE).in_flight == 0
