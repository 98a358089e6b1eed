"""High-water marks: a batch is accepted whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.integration.conftest import with_high_water
from triagem.contracts.errors import InboxFull
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox
from triagem.inbox.lease import pause

LIVE, BULK = Lane


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """On fakeredis and on the real server."""
    return either_inbox


def test_a_batch_that_reaches_the_mark_exactly_is_accepted(inbox: Inbox) -> None:
    """INV-1."""
    limited = with_high_water(inbox, live=5)
    limited.put(LIVE, [b"x"] * 2)

    assert len(limited.put(LIVE, [b"x"] * 3)) == 3


def test_a_batch_that_would_exceed_the_mark_is_refused_whole(inbox: Inbox) -> None:
    """INV-1: all or nothing."""
    limited = with_high_water(inbox, live=5)
    limited.put(LIVE, [b"x"] * 4)

    with pytest.raises(
        InboxFull, match=r"^the live lane is full \(4 entries, the high-water mark is 5\): wait until"
    ):
        limited.put(LIVE, [b"x"] * 2)

    assert limited.depth(LIVE).waiting == 4


def test_a_lane_that_is_full_because_the_workers_are_paused_names_the_pause(inbox: Inbox) -> None:
    limited = with_high_water(inbox, live=1)
    limited.put(LIVE, [b"x"])
    pause(inbox.redis)

    with pytest.raises(InboxFull, match=r"mark is 1\) and the workers are paused: run `triagem resume`"):
        limited.put(LIVE, [b"x"])


def test_each_lane_has_its_own_mark(inbox: Inbox) -> None:
    """INV-1: a file import that fills the bulk lane never blocks live tickets."""
    limited = with_high_water(inbox, live=3, bulk=1)
    limited.put(BULK, [b"x"])

    with pytest.raises(InboxFull, match="bulk"):
        limited.put(BULK, [b"x"])
    assert len(limited.put(LIVE, [b"x"] * 3)) == 3


def test_entries_in_flight_count_against_the_mark(inbox: Inbox) -> None:
    """INV-1: fetching alone frees no capacity."""
    limited = with_high_water(inbox, live=2)
    limited.put(LIVE, [b"x"] * 2)
    limited.fetch(LIVE, "worker", 2)

    with pytest.raises(InboxFull):
        limited.put(LIVE, [b"x"])


def test_acknowledging_frees_capacity(inbox: Inbox) -> None:
    """INV-1."""
    limited = with_high_water(inbox, live=2)
    limited.put(LIVE, [b"x"] * 2)
    limited.ack(limited.fetch(LIVE, "worker", 1))

    assert len(limited.put(LIVE, [b"x"])) == 1


def test_producers_that_race_at_the_mark_never_exceed_it(inbox: Inbox) -> None:
    """INV-1: checking and adding are one step."""
    limited = with_high_water(inbox, live=100)
    sizes = [1, 2, 3, 5]
    start = Barrier(len(sizes))

    def produce(size: int) -> int:
        start.wait()
        accepted = 0
        while True:
            try:
                accepted += len(limited.put(LIVE, [b"x"] * size))
            except InboxFull:
                return accepted

    with ThreadPoolExecutor(len(sizes)) as pool:
        accepted = sum(pool.map(produce, sizes))

    # The producer of single entries stops only when not even one entry fits.
    assert accepted == limited.depth(LIVE).waiting == 100
