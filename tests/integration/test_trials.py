"""Who is suspected when a worker dies, and who is not (INV-9)."""

import pytest
from redis import Redis

from tests.support.consumers import consumers, held, leased, put_and_take
from triagem.contracts.ticket import Lane
from triagem.inbox import Entry, Inbox
from triagem.inbox.claims import Claims
from triagem.inbox.stream import suspects_key
from triagem.inbox.trials import Trials, trial_key

LIVE, BULK = Lane


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """Over fakeredis and over the real server."""
    return either_inbox


@pytest.fixture
def trials(inbox: Inbox) -> Trials:
    return Trials(inbox.redis)


def rescued(inbox: Inbox, lane: Lane = LIVE, me: str = "rescuer", *, tried: bool = True) -> list[int | None]:
    """The deaths of what a rescuer finds."""
    return [entry.deaths for entry in Claims(inbox).take_over(lane, me, 100, tried=tried)]


def dies_alone(inbox: Inbox, trials: Trials, entry: Entry, worker: str) -> None:
    """A worker takes the entry over from the dead, tries it alone and dies."""
    assert Claims(inbox).take_over(entry.lane, worker, 10)
    trials.begin(worker, [entry], alone=True)


def test_only_what_stood_in_the_trial_is_suspected(inbox: Inbox, trials: Trials) -> None:
    taken = put_and_take(inbox, "dead", 4)
    trials.begin("dead", taken[1:3])

    assert rescued(inbox) == [None, 0, 0, None]


def test_ten_innocent_deaths_leave_no_suspicion(inbox: Inbox) -> None:
    """Redis' delivery counter rises with each claim, and would condemn after ten."""
    put_and_take(inbox, "dead-0", 1)
    for number in range(1, 11):
        assert rescued(inbox, me=f"dead-{number}") == [None]


def test_ten_deaths_among_others_are_no_death_alone(inbox: Inbox, trials: Trials) -> None:
    taken = put_and_take(inbox, "dead-0", 2)
    for number in range(1, 11):
        trials.begin(f"dead-{number - 1}", taken)
        assert rescued(inbox, me=f"dead-{number}") == [0, 0]


def test_a_death_alone_is_counted(inbox: Inbox, trials: Trials) -> None:
    (entry,) = put_and_take(inbox, "dead", 1)
    for deaths in (1, 2, 3):
        dies_alone(inbox, trials, entry, f"worker {deaths}")
        assert rescued(inbox, me=f"rescuer {deaths}") == [deaths]


def test_a_death_is_counted_once_however_many_look(inbox: Inbox, trials: Trials) -> None:
    taken = put_and_take(inbox, "dead", 3)
    trials.begin("dead", taken[:1], alone=True)
    claims = Claims(inbox)

    found = [claims.take_over(LIVE, f"rescuer {number}", 1) for number in range(3)]

    assert [entry.deaths for some in found for entry in some] == [1, None, None]


def test_the_next_trial_replaces_the_former(inbox: Inbox, trials: Trials) -> None:
    taken = put_and_take(inbox, "dead", 2)
    trials.begin("dead", taken[:1])
    trials.begin("dead", taken[1:])

    assert rescued(inbox) == [None, 0]


def test_an_acquitted_worker_leaves_no_suspicion(inbox: Inbox, trials: Trials) -> None:
    trials.begin("dead", put_and_take(inbox, "dead", 2))
    trials.clear("dead")

    assert rescued(inbox) == [None, None]


def test_lanes_with_equal_ids_are_kept_apart(inbox: Inbox, trials: Trials) -> None:
    for lane in Lane:
        inbox.redis.xadd(f"triagem:{{0}}:{lane}", {b"t": b"x"}, id="5-0")
        inbox.take(lane, "dead", 1)
    trials.begin("dead", [Entry(b"5-0", BULK, b"x")])

    assert (rescued(inbox, LIVE), rescued(inbox, BULK)) == ([None], [0])


def test_what_was_settled_meanwhile_is_not_suspected(inbox: Inbox, trials: Trials) -> None:
    taken = put_and_take(inbox, "dead", 2)
    trials.begin("dead", taken)
    inbox.settle(taken[:1])

    assert rescued(inbox) == [0]
    assert inbox.redis.hlen(suspects_key(LIVE)) == 1


def test_what_another_worker_has_claimed_is_not_suspected_by_a_late_death(inbox: Inbox, trials: Trials) -> None:
    """A worker that lost its lease, and dies later."""
    taken = put_and_take(inbox, "late", 1)
    other = leased(inbox)
    Claims(inbox).take_over(LIVE, other.consumer, 1)
    trials.begin("late", taken)
    put_and_take(inbox, "late", 1)

    assert rescued(inbox) == [None]
    assert held(inbox, other.consumer) == [taken[0].id]
    assert inbox.redis.hlen(suspects_key(LIVE)) == 0


def test_settling_clears_suspicion(inbox: Inbox, trials: Trials) -> None:
    taken = put_and_take(inbox, "dead", 2)
    trials.begin("dead", taken)
    inbox.settle(Claims(inbox).take_over(LIVE, "rescuer", 10))

    assert inbox.redis.exists(suspects_key(LIVE)) == 0


def test_a_suspect_that_died_alone_is_left_where_it_is_unless_asked_for(inbox: Inbox, trials: Trials) -> None:
    taken = put_and_take(inbox, "dead", 2)
    trials.begin("dead", taken[:1], alone=True)

    assert rescued(inbox, tried=False) == [None]
    assert "dead" in consumers(inbox)
    assert rescued(inbox, me="another", tried=True)[0] == 1


def test_a_living_workers_trial_is_left_alone(inbox: Inbox, trials: Trials) -> None:
    worker = leased(inbox)
    trials.begin(worker.consumer, put_and_take(inbox, worker.consumer, 1))

    assert rescued(inbox) == []
    assert inbox.redis.exists(trial_key(worker.consumer)) == 1


def test_a_trial_that_nobody_reads_goes_by_itself(inbox: Inbox, trials: Trials) -> None:
    trials.begin("dead", put_and_take(inbox, "dead", 1))

    assert 0 < inbox.redis.ttl(trial_key("dead")) <= 86_400


def test_the_owner_of_an_entry(inbox: Inbox) -> None:
    (entry,) = put_and_take(inbox, "worker", 1)
    assert inbox.owner(entry) == "worker"

    Claims(inbox).take_over(LIVE, "rescuer", 1)
    assert inbox.owner(entry) == "rescuer"

    inbox.settle([entry])
    assert inbox.owner(entry) is None


def test_claims_go_on_while_redis_has_no_memory_for_suspicion(redis: Redis, inbox: Inbox, trials: Trials) -> None:
    """Only draining frees memory. On the real server: fakeredis knows no limit."""
    real = Inbox(redis, inbox.settings)
    real.make_groups()
    trial = Trials(redis)
    taken = put_and_take(real, "dead", 2)
    trial.begin("dead", taken)
    redis.config_set("maxmemory", 1)
    try:
        found = Claims(real).take_over(LIVE, "rescuer", 10)
        real.settle(found)
    finally:
        redis.config_set("maxmemory", 0)

    assert [entry.id for entry in found] == [entry.id for entry in taken]
