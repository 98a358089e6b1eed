"""The rules of docs/reference/rules.md on the inbox's `put`, `fetch`, `ack` and `depth`."""

import pytest

from tests.integration.conftest import ids, with_high_water
from triagem.contracts.errors import GroupMissing
from triagem.contracts.ticket import Lane
from triagem.inbox import Depth, Entry, Inbox
from triagem.inbox.lease import pause, paused, resume
from triagem.inbox.stream import entries_of, stream_key

LIVE, BULK = Lane


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """Over fakeredis and over the real server."""
    return either_inbox


def clock_ms(inbox: Inbox) -> int:
    seconds, micros = inbox.redis.time()
    return int(seconds * 1000 + micros // 1000)


def test_entries_are_fetched_in_the_order_in_which_they_were_put(inbox: Inbox) -> None:
    """INV-1: the ids come back in the payloads' order."""
    put = inbox.put(LIVE, [b"first", b"second"]) + inbox.put(LIVE, [b"third"])

    fetched = inbox.fetch(LIVE, "worker", 10)

    assert [(entry.id, entry.payload) for entry in fetched] == list(
        zip(put, [b"first", b"second", b"third"], strict=True)
    )


def test_putting_nothing_adds_nothing(inbox: Inbox) -> None:
    """INV-1: an empty batch is not an error even if the lane is full."""
    full = with_high_water(inbox, live=1)
    full.put(LIVE, [b"x"])

    assert full.put(LIVE, []) == []
    assert full.depth(LIVE).waiting == 1


def test_the_streams_of_all_lanes_share_a_hash_tag() -> None:
    """INV-2: with these names, keys can be sharded without a rename."""
    assert [stream_key(lane) for lane in Lane] == ["triagem:{0}:live", "triagem:{0}:bulk"]


def test_each_lane_is_fetched_separately_up_to_the_count(inbox: Inbox) -> None:
    """INV-6."""
    inbox.put(BULK, [b"bulk"] * 5)
    live = inbox.put(LIVE, [b"live"] * 5)

    assert ids(inbox.fetch(LIVE, "worker", 3)) == live[:3]
    assert ids(inbox.fetch(LIVE, "worker", 3)) == live[3:]
    assert inbox.fetch(LIVE, "worker", 3) == []
    assert inbox.depth(BULK).waiting == 5


def test_an_entry_is_fetched_by_one_worker_only(inbox: Inbox) -> None:
    """INV-5."""
    put = inbox.put(LIVE, [b"x"] * 4)

    assert ids(inbox.fetch(LIVE, "first", 2)) == put[:2]
    assert ids(inbox.fetch(LIVE, "second", 4)) == put[2:]


def test_a_blocking_fetch_reads_each_lane_up_to_the_count(inbox: Inbox) -> None:
    """INV-6: COUNT is for each stream."""
    bulk, live = inbox.put(BULK, [b"bulk"] * 3), inbox.put(LIVE, [b"live"] * 3)

    woken = inbox.fetch_blocking("worker", 2, block_s=0.1)

    assert [(entry.lane, entry.id) for entry in woken] == [
        *((LIVE, entry_id) for entry_id in live[:2]),
        *((BULK, entry_id) for entry_id in bulk[:2]),
    ]


def test_a_payload_comes_back_byte_by_byte(inbox: Inbox) -> None:
    """INV-5: the client does not decode payloads, or one broken ticket would make a whole read fail."""
    payload = bytes(range(256))
    inbox.put(LIVE, [payload])

    assert [entry.payload for entry in inbox.fetch(LIVE, "worker", 1)] == [payload]


def test_an_entry_of_another_program_is_fetched_with_all_its_fields(inbox: Inbox) -> None:
    """INV-10: a worker must read the entry to make it a dead letter, which keeps a customer's words."""
    inbox.redis.xadd(stream_key(LIVE), {b"text": "não liga".encode(), b"\xff": b"\xfe"})

    assert [entry.payload for entry in inbox.fetch(LIVE, "worker", 1)] == [
        r'{"text": "não liga", "\\xff": "\\xfe"}'.encode()
    ]


def test_the_id_contains_the_time_of_the_put(inbox: Inbox) -> None:
    """INV-25: waiting is measured by Redis' clock."""
    before = clock_ms(inbox)
    inbox.put(LIVE, [b"x"])
    after = clock_ms(inbox)

    [entry] = inbox.fetch(LIVE, "worker", 1)

    assert before / 1000 <= entry.put_at <= after / 1000


def test_entries_have_the_order_of_their_puts_and_none_is_equal_to_another() -> None:
    """This holds within a millisecond and across lanes, where the live entry counts as the later one."""
    puts = [(0, 0, BULK), (0, 0, LIVE), (0, 1, BULK), (1, 0, LIVE)]

    arrivals = [Entry(b"17638128000%02d-%d" % (time, number), lane, None).arrival for time, number, lane in puts]

    assert arrivals == sorted(set(arrivals))
    assert Entry(b"1763812800000-18446744073709551615", LIVE, None).arrival < arrivals[-1] < 2**63


def test_entries_that_were_deleted_meanwhile_are_left_out() -> None:
    """INV-5: the reply of Redis before version 7 to a claim of deleted entries, in a script and through redis-py."""
    entry = (b"1-0", {b"t": b"x"})

    assert entries_of(LIVE, [None, (None, None), entry]) == [Entry(b"1-0", LIVE, b"x")]


def test_entries_put_before_the_group_existed_are_fetched(inbox: Inbox) -> None:
    """INV-7: groups begin at 0, not at `$`."""
    inbox.redis.flushall()
    put = inbox.put(LIVE, [b"early"])

    inbox.create_groups()

    assert ids(inbox.fetch(LIVE, "worker", 1)) == put


def test_a_lane_without_a_group_raises(inbox: Inbox) -> None:
    """INV-7: NOGROUP raises its own error type, so that workers can create the groups again."""
    inbox.redis.flushall()
    for lane in Lane:
        inbox.put(lane, [b"x"])

    with pytest.raises(GroupMissing):
        inbox.fetch(LIVE, "worker", 1)
    with pytest.raises(GroupMissing):
        inbox.fetch_blocking("worker", 1, block_s=0.1)


def test_creating_the_groups_again_changes_nothing(inbox: Inbox) -> None:
    """INV-7: every worker creates the groups at each start."""
    inbox.put(LIVE, [b"x"] * 2)
    inbox.fetch(LIVE, "worker", 1)

    inbox.create_groups()

    assert inbox.depth(LIVE).in_flight == 1
    assert len(inbox.fetch(LIVE, "worker", 2)) == 1


def test_acked_entries_are_deleted_from_the_stream_and_from_the_pending_list(inbox: Inbox) -> None:
    """INV-7: an entry that is acknowledged but not deleted would count as waiting for ever."""
    inbox.put(LIVE, [b"x"] * 3)

    inbox.ack(inbox.fetch(LIVE, "worker", 2))

    assert inbox.redis.xlen(stream_key(LIVE)) == 1
    assert inbox.in_flight(LIVE) == 0


def test_entries_of_both_lanes_are_acked_together(inbox: Inbox) -> None:
    """INV-7: a window contains both."""
    for lane in Lane:
        inbox.put(lane, [b"x"])

    inbox.ack([*inbox.fetch(BULK, "worker", 1), *inbox.fetch(LIVE, "worker", 1)])

    assert [inbox.depth(lane) for lane in Lane] == [Depth(0, 0, None)] * 2


def test_acking_twice_or_nothing_changes_nothing(inbox: Inbox) -> None:
    """INV-7: an acknowledgement whose reply was cut is sent again."""
    inbox.put(LIVE, [b"x"] * 2)
    acked = inbox.fetch(LIVE, "worker", 1)

    for entries in (acked, acked, []):
        inbox.ack(entries)

    assert inbox.depth(LIVE).waiting == 1


def test_depth_separates_waiting_entries_from_entries_in_flight(inbox: Inbox) -> None:
    """INV-25: an autoscaler that ignores entries in flight would kill busy pods."""
    inbox.put(LIVE, [b"x"] * 5)
    fetched = inbox.fetch(LIVE, "first", 1) + inbox.fetch(LIVE, "second", 2)
    inbox.ack(fetched[:1])

    depth = inbox.depth(LIVE)

    assert (depth.waiting, depth.in_flight) == (2, 2)


def test_the_oldest_entry_s_age_includes_what_is_in_flight(inbox: Inbox) -> None:
    """INV-25."""
    inbox.redis.xadd(stream_key(LIVE), {b"t": b"old"}, id=f"{clock_ms(inbox) - 90_000}-0")
    inbox.put(LIVE, [b"new"])
    inbox.fetch(LIVE, "worker", 1)

    assert inbox.depth(LIVE).oldest_s == pytest.approx(90, abs=5)


def test_an_entry_from_the_future_has_no_negative_age(inbox: Inbox) -> None:
    """INV-25: Redis' clock was set back, or a replica with another clock took over."""
    inbox.redis.xadd(stream_key(LIVE), {b"t": b"x"}, id=f"{clock_ms(inbox) + 90_000}-0")

    assert inbox.depth(LIVE).oldest_s == 0


def test_depth_needs_no_group(inbox: Inbox) -> None:
    """INV-25: the signal includes a backlog from before the first start of a worker."""
    inbox.redis.flushall()
    inbox.put(LIVE, [b"x"] * 2)

    assert (inbox.depth(LIVE).waiting, inbox.depth(LIVE).in_flight) == (2, 0)
    assert inbox.depth(BULK) == Depth(0, 0, None)


def test_pausing_is_stored_until_somebody_resumes(inbox: Inbox) -> None:
    """INV-21: a worker that is not connected during a broadcast would miss it."""
    states = [paused(inbox.redis)]
    for step in (pause, pause, resume, resume):
        step(inbox.redis)
        states.append(paused(inbox.redis))

    assert states == [False, True, True, False, False]
