"""What a worker does about its own name and entries: takes again what a cut reply held, and leaves no trace."""

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
    """Over fakeredis and over the real server."""
    return either_inbox


@pytest.fixture
def claims(inbox: Inbox) -> Reclaimer:
    return Reclaimer(inbox)


def test_a_worker_that_leaves_removes_its_own_name_from_both_lanes(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-7."""
    worker = leased(inbox)
    for lane in Lane:
        inbox.ack(put_and_fetch(inbox, worker.consumer, 1, lane))
    worker.release()

    claims.remove_consumer(worker.consumer)

    assert [consumers(inbox, lane) for lane in Lane] == [set(), set()]


def test_a_worker_that_leaves_with_entries_pending_keeps_its_name(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-7: others find them under it."""
    worker = leased(inbox)
    taken = put_and_fetch(inbox, worker.consumer, 1)
    worker.release()

    claims.remove_consumer(worker.consumer)

    assert claims.reclaim(LIVE, "rescuer", 10) == taken


def test_a_name_with_a_lease_is_not_removed_even_by_its_own_worker(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-7: first the lease, then the name."""
    worker = leased(inbox)
    inbox.ack(put_and_fetch(inbox, worker.consumer, 1))

    claims.remove_consumer(worker.consumer)

    assert consumers(inbox) == {worker.consumer}


def test_what_redis_says_we_hold_and_we_do_not_is_taken_again(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-5: and it stays ours."""
    taken = put_and_fetch(inbox, "me", 4)

    assert claims.recover_lost_replies(LIVE, "me", {taken[0].id, taken[2].id}) == [taken[1], taken[3]]
    assert held(inbox, "me") == ids(taken)


def test_nothing_is_taken_again_while_all_is_in_hand(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-5."""
    taken = put_and_fetch(inbox, "me", 4)

    assert claims.recover_lost_replies(LIVE, "me", set(ids(taken))) == []


def test_what_others_hold_or_nobody_is_not_taken_again(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-5."""
    put_and_fetch(inbox, "other", 2)
    inbox.put(LIVE, [b"waits"])

    assert claims.recover_lost_replies(LIVE, "me", set()) == []


def test_what_was_deleted_while_it_was_pending_is_not_taken_again(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-5: somebody ran XDEL by hand; there is nothing left to work on."""
    gone, kept = put_and_fetch(inbox, "me", 2)
    inbox.redis.xdel(stream_key(LIVE), gone.id)

    assert claims.recover_lost_replies(LIVE, "me", set()) == [kept]
    assert claims.reclaim(LIVE, "rescuer", 10) == [kept]


def test_settling_what_was_claimed_meanwhile_is_harmless(inbox: Inbox, claims: Reclaimer) -> None:
    """INV-8: a worker that was thought dead had committed its window; the other's settling finds nothing."""
    taken = put_and_fetch(inbox, "thought-dead", 3)
    claimed = claims.reclaim(LIVE, "rescuer", 2)

    inbox.ack(taken)
    assert (held(inbox, "rescuer"), inbox.redis.xlen(stream_key(LIVE))) == ([], 0)

    inbox.ack(claimed)
    assert inbox.depth(LIVE).in_flight == 0
