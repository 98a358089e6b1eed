"""High-water marks: a batch is let in whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from triagem.contracts.errors import InboxFull
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox, InboxSettings

LIVE, BULK = Lane


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """Over fakeredis and over the real server."""
    return either_inbox


def with_marks(inbox: Inbox, *, live: int = 5, bulk: int = 5) -> Inbox:
    return Inbox(inbox.redis, InboxSettings(live_high_water=live, bulk_high_water=bulk))


def test_a_batch_that_reaches_the_mark_exactly_is_let_in(inbox: Inbox) -> None:
    """INV-1."""
    narrow = with_marks(inbox, live=5)
    narrow.put(LIVE, [b"x"] * 2)

    assert len(narrow.put(LIVE, [b"x"] * 3)) == 3


def test_a_batch_that_would_pass_the_mark_is_refused_whole(inbox: Inbox) -> None:
    """INV-1: all or nothing."""
    narrow = with_marks(inbox, live=5)
    narrow.put(LIVE, [b"x"] * 4)

    with pytest.raises(
        InboxFull, match=r"^the live lane is full \(4 entries, the high-water mark is 5\): wait until"
    ):
        narrow.put(LIVE, [b"x"] * 2)

    assert narrow.depth(LIVE).waiting == 4


def test_each_lane_has_a_mark_of_its_own(inbox: Inbox) -> None:
    """INV-1: a file import that fills bulk never keeps a customer who waits now out of live."""
    narrow = with_marks(inbox, live=3, bulk=1)
    narrow.put(BULK, [b"x"])

    with pytest.raises(InboxFull, match="bulk"):
        narrow.put(BULK, [b"x"])
    assert len(narrow.put(LIVE, [b"x"] * 3)) == 3


def test_what_is_in_flight_counts_against_the_mark(inbox: Inbox) -> None:
    """INV-1: taking alone makes no room."""
    narrow = with_marks(inbox, live=2)
    narrow.put(LIVE, [b"x"] * 2)
    narrow.fetch(LIVE, "worker", 2)

    with pytest.raises(InboxFull):
        narrow.put(LIVE, [b"x"])


def test_settling_makes_room(inbox: Inbox) -> None:
    """INV-1."""
    narrow = with_marks(inbox, live=2)
    narrow.put(LIVE, [b"x"] * 2)
    narrow.ack(narrow.fetch(LIVE, "worker", 1))

    assert len(narrow.put(LIVE, [b"x"])) == 1


def test_producers_that_race_at_the_mark_never_pass_it(inbox: Inbox) -> None:
    """INV-1: checking and adding are one step."""
    narrow = with_marks(inbox, live=100)
    sizes = [1, 2, 3, 5]
    start = Barrier(len(sizes))

    def produce(size: int) -> int:
        start.wait()
        let_in = 0
        while True:
            try:
                let_in += len(narrow.put(LIVE, [b"x"] * size))
            except InboxFull:
                return let_in

    with ThreadPoolExecutor(len(sizes)) as pool:
        let_in = sum(pool.map(produce, sizes))

    # The producer of single entries leaves off only when not even one has room.
    assert let_in == narrow.depth(LIVE).waiting == 100
