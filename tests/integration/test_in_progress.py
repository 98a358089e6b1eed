"""In-progress markers: which entries become suspects when a worker crashes (INV-9)."""

import pytest
from redis import Redis

from tests.support.consumers import consumers, held, leased, put_and_fetch
from triagem.contracts.ticket import Lane
from triagem.inbox import Entry, Inbox
from triagem.inbox.reclaim import Reclaimer, clear_in_progress, in_progress_key, mark_in_progress
from triagem.inbox.stream import quarantine_key

LIVE, BULK = Lane


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """On fakeredis and on the real server."""
    return either_inbox


def reclaimed_crashes(
    inbox: Inbox, lane: Lane = LIVE, consumer: str = "reclaimer", *, include_crashed: bool = True
) -> list[int | None]:
    """The solo crashes of the entries that a worker reclaims."""
    return [
        entry.solo_crashes for entry in Reclaimer(inbox).reclaim(lane, consumer, 100, include_crashed=include_crashed)
    ]


def crash_alone(inbox: Inbox, entry: Entry, worker: str) -> None:
    """A worker reclaims the entry from a dead one, processes it alone and crashes."""
    assert Reclaimer(inbox).reclaim(entry.lane, worker, 10)
    mark_in_progress(inbox.redis, worker, [entry], alone=True)


def test_only_entries_in_the_marker_are_suspects(inbox: Inbox) -> None:
    entries = put_and_fetch(inbox, "dead", 4)
    mark_in_progress(inbox.redis, "dead", entries[1:3])

    assert reclaimed_crashes(inbox) == [None, 0, 0, None]


def test_ten_unrelated_crashes_make_no_suspect(inbox: Inbox) -> None:
    """Redis' delivery counter rises with each reclaim. A limit on the counter would dead-letter the entry."""
    put_and_fetch(inbox, "dead-0", 1)
    for number in range(1, 11):
        assert reclaimed_crashes(inbox, consumer=f"dead-{number}") == [None]


def test_ten_crashes_among_others_are_not_a_solo_crash(inbox: Inbox) -> None:
    entries = put_and_fetch(inbox, "dead-0", 2)
    for number in range(1, 11):
        mark_in_progress(inbox.redis, f"dead-{number - 1}", entries)
        assert reclaimed_crashes(inbox, consumer=f"dead-{number}") == [0, 0]


def test_a_solo_crash_is_counted(inbox: Inbox) -> None:
    (entry,) = put_and_fetch(inbox, "dead", 1)
    for crashes in (1, 2, 3):
        crash_alone(inbox, entry, f"worker {crashes}")
        assert reclaimed_crashes(inbox, consumer=f"reclaimer {crashes}") == [crashes]


def test_a_solo_crash_is_counted_once_however_many_workers_reclaim(inbox: Inbox) -> None:
    entries = put_and_fetch(inbox, "dead", 3)
    mark_in_progress(inbox.redis, "dead", entries[:1], alone=True)
    reclaimer = Reclaimer(inbox)

    batches = [reclaimer.reclaim(LIVE, f"reclaimer {number}", 1) for number in range(3)]

    assert [entry.solo_crashes for batch in batches for entry in batch] == [1, None, None]


def test_the_next_marker_replaces_the_previous_one(inbox: Inbox) -> None:
    entries = put_and_fetch(inbox, "dead", 2)
    mark_in_progress(inbox.redis, "dead", entries[:1])
    mark_in_progress(inbox.redis, "dead", entries[1:])

    assert reclaimed_crashes(inbox) == [None, 0]


def test_a_cleared_marker_makes_no_suspect(inbox: Inbox) -> None:
    mark_in_progress(inbox.redis, "dead", put_and_fetch(inbox, "dead", 2))
    clear_in_progress(inbox.redis, "dead")

    assert reclaimed_crashes(inbox) == [None, None]


def test_equal_ids_of_two_lanes_are_kept_apart(inbox: Inbox) -> None:
    for lane in Lane:
        inbox.redis.xadd(f"triagem:{{0}}:{lane}", {b"t": b"x"}, id="5-0")
        inbox.fetch(lane, "dead", 1)
    mark_in_progress(inbox.redis, "dead", [Entry(b"5-0", BULK, b"x")])

    assert (reclaimed_crashes(inbox, LIVE), reclaimed_crashes(inbox, BULK)) == ([None], [0])


def test_entries_acknowledged_meanwhile_are_not_suspects(inbox: Inbox) -> None:
    entries = put_and_fetch(inbox, "dead", 2)
    mark_in_progress(inbox.redis, "dead", entries)
    inbox.ack(entries[:1])

    assert reclaimed_crashes(inbox) == [0]
    assert inbox.redis.hlen(quarantine_key(LIVE)) == 1


def test_an_entry_that_another_worker_has_reclaimed_is_not_suspected_by_a_late_crash(inbox: Inbox) -> None:
    """A worker loses its lease and crashes later."""
    entries = put_and_fetch(inbox, "late", 1)
    other = leased(inbox)
    Reclaimer(inbox).reclaim(LIVE, other.consumer, 1)
    mark_in_progress(inbox.redis, "late", entries)
    put_and_fetch(inbox, "late", 1)

    assert reclaimed_crashes(inbox) == [None]
    assert held(inbox, other.consumer) == [entries[0].id]
    assert inbox.redis.hlen(quarantine_key(LIVE)) == 0


def test_acknowledging_ends_quarantine(inbox: Inbox) -> None:
    entries = put_and_fetch(inbox, "dead", 2)
    mark_in_progress(inbox.redis, "dead", entries)
    inbox.ack(Reclaimer(inbox).reclaim(LIVE, "reclaimer", 10))

    assert inbox.redis.exists(quarantine_key(LIVE)) == 0


def test_a_suspect_with_a_solo_crash_is_not_reclaimed_unless_requested(inbox: Inbox) -> None:
    entries = put_and_fetch(inbox, "dead", 2)
    mark_in_progress(inbox.redis, "dead", entries[:1], alone=True)

    assert reclaimed_crashes(inbox, include_crashed=False) == [None]
    assert "dead" in consumers(inbox)
    assert reclaimed_crashes(inbox, consumer="another", include_crashed=True)[0] == 1


def test_a_live_workers_marker_is_left_alone(inbox: Inbox) -> None:
    worker = leased(inbox)
    mark_in_progress(inbox.redis, worker.consumer, put_and_fetch(inbox, worker.consumer, 1))

    assert reclaimed_crashes(inbox) == []
    assert inbox.redis.exists(in_progress_key(worker.consumer)) == 1


def test_nothing_of_a_dead_worker_is_left_once_its_entries_are_reclaimed(inbox: Inbox) -> None:
    """Workers that crash in a loop would fill Redis with their markers."""
    entries = [*put_and_fetch(inbox, "dead", 1), *put_and_fetch(inbox, "dead", 1, lane=BULK)]
    mark_in_progress(inbox.redis, "dead", entries)

    assert reclaimed_crashes(inbox, LIVE) == [0]
    assert reclaimed_crashes(inbox, BULK) == [0]
    assert inbox.redis.exists(in_progress_key("dead")) == 0


def test_a_marker_that_nobody_reads_expires(inbox: Inbox) -> None:
    mark_in_progress(inbox.redis, "dead", put_and_fetch(inbox, "dead", 1))

    assert 0 < inbox.redis.ttl(in_progress_key("dead")) <= 86_400


def test_the_owner_of_an_entry_changes_with_reclaim_and_ack(inbox: Inbox) -> None:
    (entry,) = put_and_fetch(inbox, "worker", 1)
    assert inbox.owner(entry) == "worker"

    Reclaimer(inbox).reclaim(LIVE, "reclaimer", 1)
    assert inbox.owner(entry) == "reclaimer"

    inbox.ack([entry])
    assert inbox.owner(entry) is None


def test_reclaiming_continues_while_redis_has_no_memory_for_the_quarantine(redis: Redis, inbox: Inbox) -> None:
    """Only draining frees memory. Runs on the real server, because fakeredis has no memory limit."""
    real = Inbox(redis, inbox.settings)
    real.create_groups()
    entries = put_and_fetch(real, "dead", 2)
    mark_in_progress(redis, "dead", entries)
    redis.config_set("maxmemory", 1)
    try:
        reclaimed = Reclaimer(real).reclaim(LIVE, "reclaimer", 10)
        real.ack(reclaimed)
    finally:
        redis.config_set("maxmemory", 0)

    assert [entry.id for entry in reclaimed] == [entry.id for entry in entries]
