"""Who is suspected when a worker dies, and who is not (INV-9)."""

import pytest
from redis import Redis

from tests.support.consumers import consumers, held, leased, put_and_fetch
from triagem.contracts.ticket import Lane
from triagem.inbox import Entry, Inbox
from triagem.inbox.in_progress import InProgressMarkers, in_progress_key
from triagem.inbox.reclaim import Reclaimer
from triagem.inbox.stream import quarantine_key

LIVE, BULK = Lane


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """Over fakeredis and over the real server."""
    return either_inbox


@pytest.fixture
def trials(inbox: Inbox) -> InProgressMarkers:
    return InProgressMarkers(inbox.redis)


def rescued(inbox: Inbox, lane: Lane = LIVE, me: str = "rescuer", *, tried: bool = True) -> list[int | None]:
    """The deaths of what a rescuer finds."""
    return [entry.solo_crashes for entry in Reclaimer(inbox).reclaim(lane, me, 100, include_crashed=tried)]


def dies_alone(inbox: Inbox, trials: InProgressMarkers, entry: Entry, worker: str) -> None:
    """A worker takes the entry over from the dead, tries it alone and dies."""
    assert Reclaimer(inbox).reclaim(entry.lane, worker, 10)
    trials.mark(worker, [entry], alone=True)


def test_only_what_stood_in_the_trial_is_suspected(inbox: Inbox, trials: InProgressMarkers) -> None:
    taken = put_and_fetch(inbox, "dead", 4)
    trials.mark("dead", taken[1:3])

    assert rescued(inbox) == [None, 0, 0, None]


def test_ten_innocent_deaths_leave_no_suspicion(inbox: Inbox) -> None:
    """Redis' delivery counter rises with each claim, and would condemn after ten."""
    put_and_fetch(inbox, "dead-0", 1)
    for number in range(1, 11):
        assert rescued(inbox, me=f"dead-{number}") == [None]


def test_ten_deaths_among_others_are_no_death_alone(inbox: Inbox, trials: InProgressMarkers) -> None:
    taken = put_and_fetch(inbox, "dead-0", 2)
    for number in range(1, 11):
        trials.mark(f"dead-{number - 1}", taken)
        assert rescued(inbox, me=f"dead-{number}") == [0, 0]


def test_a_death_alone_is_counted(inbox: Inbox, trials: InProgressMarkers) -> None:
    (entry,) = put_and_fetch(inbox, "dead", 1)
    for deaths in (1, 2, 3):
        dies_alone(inbox, trials, entry, f"worker {deaths}")
        assert rescued(inbox, me=f"rescuer {deaths}") == [deaths]


def test_a_death_is_counted_once_however_many_look(inbox: Inbox, trials: InProgressMarkers) -> None:
    taken = put_and_fetch(inbox, "dead", 3)
    trials.mark("dead", taken[:1], alone=True)
    claims = Reclaimer(inbox)

    found = [claims.reclaim(LIVE, f"rescuer {number}", 1) for number in range(3)]

    assert [entry.solo_crashes for some in found for entry in some] == [1, None, None]


def test_the_next_trial_replaces_the_former(inbox: Inbox, trials: InProgressMarkers) -> None:
    taken = put_and_fetch(inbox, "dead", 2)
    trials.mark("dead", taken[:1])
    trials.mark("dead", taken[1:])

    assert rescued(inbox) == [None, 0]


def test_an_acquitted_worker_leaves_no_suspicion(inbox: Inbox, trials: InProgressMarkers) -> None:
    trials.mark("dead", put_and_fetch(inbox, "dead", 2))
    trials.clear("dead")

    assert rescued(inbox) == [None, None]


def test_lanes_with_equal_ids_are_kept_apart(inbox: Inbox, trials: InProgressMarkers) -> None:
    for lane in Lane:
        inbox.redis.xadd(f"triagem:{{0}}:{lane}", {b"t": b"x"}, id="5-0")
        inbox.fetch(lane, "dead", 1)
    trials.mark("dead", [Entry(b"5-0", BULK, b"x")])

    assert (rescued(inbox, LIVE), rescued(inbox, BULK)) == ([None], [0])


def test_what_was_settled_meanwhile_is_not_suspected(inbox: Inbox, trials: InProgressMarkers) -> None:
    taken = put_and_fetch(inbox, "dead", 2)
    trials.mark("dead", taken)
    inbox.ack(taken[:1])

    assert rescued(inbox) == [0]
    assert inbox.redis.hlen(quarantine_key(LIVE)) == 1


def test_what_another_worker_has_claimed_is_not_suspected_by_a_late_death(
    inbox: Inbox, trials: InProgressMarkers
) -> None:
    """A worker that lost its lease, and dies later."""
    taken = put_and_fetch(inbox, "late", 1)
    other = leased(inbox)
    Reclaimer(inbox).reclaim(LIVE, other.consumer, 1)
    trials.mark("late", taken)
    put_and_fetch(inbox, "late", 1)

    assert rescued(inbox) == [None]
    assert held(inbox, other.consumer) == [taken[0].id]
    assert inbox.redis.hlen(quarantine_key(LIVE)) == 0


def test_settling_clears_suspicion(inbox: Inbox, trials: InProgressMarkers) -> None:
    taken = put_and_fetch(inbox, "dead", 2)
    trials.mark("dead", taken)
    inbox.ack(Reclaimer(inbox).reclaim(LIVE, "rescuer", 10))

    assert inbox.redis.exists(quarantine_key(LIVE)) == 0


def test_a_suspect_that_died_alone_is_left_where_it_is_unless_asked_for(
    inbox: Inbox, trials: InProgressMarkers
) -> None:
    taken = put_and_fetch(inbox, "dead", 2)
    trials.mark("dead", taken[:1], alone=True)

    assert rescued(inbox, tried=False) == [None]
    assert "dead" in consumers(inbox)
    assert rescued(inbox, me="another", tried=True)[0] == 1


def test_a_living_workers_trial_is_left_alone(inbox: Inbox, trials: InProgressMarkers) -> None:
    worker = leased(inbox)
    trials.mark(worker.consumer, put_and_fetch(inbox, worker.consumer, 1))

    assert rescued(inbox) == []
    assert inbox.redis.exists(in_progress_key(worker.consumer)) == 1


def test_a_trial_that_nobody_reads_goes_by_itself(inbox: Inbox, trials: InProgressMarkers) -> None:
    trials.mark("dead", put_and_fetch(inbox, "dead", 1))

    assert 0 < inbox.redis.ttl(in_progress_key("dead")) <= 86_400


def test_the_owner_of_an_entry(inbox: Inbox) -> None:
    (entry,) = put_and_fetch(inbox, "worker", 1)
    assert inbox.owner(entry) == "worker"

    Reclaimer(inbox).reclaim(LIVE, "rescuer", 1)
    assert inbox.owner(entry) == "rescuer"

    inbox.ack([entry])
    assert inbox.owner(entry) is None


def test_claims_go_on_while_redis_has_no_memory_for_suspicion(
    redis: Redis, inbox: Inbox, trials: InProgressMarkers
) -> None:
    """Only draining frees memory. On the real server: fakeredis knows no limit."""
    real = Inbox(redis, inbox.settings)
    real.create_groups()
    trial = InProgressMarkers(redis)
    taken = put_and_fetch(real, "dead", 2)
    trial.mark("dead", taken)
    redis.config_set("maxmemory", 1)
    try:
        found = Reclaimer(real).reclaim(LIVE, "rescuer", 10)
        real.ack(found)
    finally:
        redis.config_set("maxmemory", 0)

    assert [entry.id for entry in found] == [entry.id for entry in taken]
