"""Worker leases (INV-8): a lease is a key with a time to live; every start of a worker uses a new name."""

import os

import pytest

from triagem.inbox import Inbox
from triagem.inbox.lease import Lease, lease_key, list_workers, observed_states, release_ended, worker_states


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """On fakeredis and on the real server."""
    return either_inbox


@pytest.fixture
def lease(inbox: Inbox) -> Lease:
    """An acquired lease of 15 s."""
    new_lease = Lease(inbox.redis, 15)
    new_lease.acquire()
    return new_lease


def remaining_ms(inbox: Inbox, consumer: str) -> int:
    """Remaining time of a lease; negative if there is none or it never expires."""
    return inbox.redis.pttl(lease_key(consumer))


def test_every_start_has_its_own_name(inbox: Inbox) -> None:
    """INV-8: containers share host names and process ids, so these are not unique."""
    assert len({Lease(inbox.redis, 15).consumer for _ in range(1000)}) == 1000


def test_no_worker_is_alive_before_a_lease_is_acquired(inbox: Inbox) -> None:
    """INV-8."""
    Lease(inbox.redis, 15)

    assert len(list_workers(inbox.redis)) == 0


def test_a_lease_expires_by_itself(inbox: Inbox, lease: Lease) -> None:
    """INV-8: a killed worker cannot release its lease."""
    assert 14_000 < remaining_ms(inbox, lease.consumer) <= 15_000


def test_a_lease_may_be_shorter_than_a_second(inbox: Inbox) -> None:
    """INV-8."""
    short = Lease(inbox.redis, 0.5)
    short.acquire()

    assert 0 < remaining_ms(inbox, short.consumer) <= 500


def test_refreshing_prolongs_the_lease_and_keeps_the_name(inbox: Inbox, lease: Lease) -> None:
    """INV-8."""
    name = lease.consumer
    inbox.redis.pexpire(lease_key(name), 1000)

    assert lease.refresh()

    assert lease.consumer == name
    assert 14_000 < remaining_ms(inbox, name) <= 15_000


def test_a_worker_whose_lease_is_gone_continues_under_a_new_name(inbox: Inbox, lease: Lease) -> None:
    """INV-8: other workers may have reclaimed its entries."""
    previous = lease.consumer
    inbox.redis.delete(lease_key(previous))

    assert not lease.refresh()

    assert lease.consumer != previous
    assert remaining_ms(inbox, lease.consumer) > 14_000


def test_a_worker_keeps_all_names_it_has_had(inbox: Inbox, lease: Lease) -> None:
    """INV-11: the worker still owns entries pending under its earlier name. The committer uses the same set."""
    names, first = lease.names, lease.consumer
    inbox.redis.delete(lease_key(first))

    lease.refresh()

    assert names == {first, lease.consumer}


def test_a_lost_lease_is_never_revived(inbox: Inbox, lease: Lease) -> None:
    """INV-8: two live workers would reclaim each other's entries."""
    previous = lease.consumer
    inbox.redis.delete(lease_key(previous))
    lease.refresh()

    assert lease.refresh()

    assert remaining_ms(inbox, previous) < 0
    assert len(list_workers(inbox.redis)) == 1


def test_releasing_ends_the_lease_at_once(inbox: Inbox, lease: Lease) -> None:
    """INV-8: pending entries can be reclaimed without waiting for the lease to expire."""
    lease.release()

    assert len(list_workers(inbox.redis)) == 0


def test_releasing_does_not_affect_other_leases(inbox: Inbox, lease: Lease) -> None:
    """INV-8."""
    other = Lease(inbox.redis, 15)
    other.acquire()

    lease.release()

    assert remaining_ms(inbox, other.consumer) > 0


def test_the_leases_of_a_process_that_ended_are_released_at_once(inbox: Inbox, lease: Lease) -> None:
    """INV-8: without waiting until they expire."""
    other = lease.consumer.replace(f"-{os.getpid()}-", f"-{os.getpid()}1-")
    inbox.redis.set(lease_key(other), "at work")

    release_ended(inbox.redis, os.getpid())

    assert list(worker_states(inbox.redis)) == [other]


def test_every_worker_with_a_lease_counts_as_alive(inbox: Inbox) -> None:
    """INV-25: keys of other kinds do not count."""
    for _ in range(3):
        Lease(inbox.redis, 15).acquire()
    inbox.redis.set("triagem:{0}:paused", b"1")

    assert len(list_workers(inbox.redis)) == 3


def test_a_worker_stores_its_state_in_its_lease(inbox: Inbox) -> None:
    lease = Lease(inbox.redis, 60)
    lease.acquire()
    lease.report_state("waiting: Postgres does not answer")

    assert worker_states(inbox.redis) == {lease.consumer: "waiting: Postgres does not answer"}
    assert 0 < inbox.redis.ttl(lease_key(lease.consumer)) <= 60


def test_the_rate_is_stored_too_whatever_the_state_contains(inbox: Inbox) -> None:
    lease = Lease(inbox.redis, 60)
    lease.acquire()
    lease.report_state("waiting: two\nlines")
    assert [(worker.state, worker.rate) for worker in list_workers(inbox.redis)] == [("waiting: two lines", 0)]
    lease.report_state("waiting: two\nlines", 12.5)
    assert [(worker.state, worker.rate) for worker in list_workers(inbox.redis)] == [("waiting: two lines", 12.5)]


def test_reporting_a_state_does_not_revive_a_lost_lease(inbox: Inbox) -> None:
    lease = Lease(inbox.redis, 60)
    lease.acquire()
    lease.release()
    lease.report_state("at work")

    assert worker_states(inbox.redis) == {}


@pytest.mark.parametrize(("remaining", "shown"), [(7_000, "at work"), (2_900, "no sign of life: last seen 12 s ago")])
def test_a_worker_without_heartbeats_is_shown_as_silent(
    inbox: Inbox, lease: Lease, remaining: int, shown: str
) -> None:
    lease.report_state("at work")

    inbox.redis.pexpire(lease_key(lease.consumer), remaining)

    assert observed_states(inbox.redis) == {lease.consumer: shown}


def test_a_worker_of_a_release_that_stored_no_duration_is_shown_as_it_reported(inbox: Inbox, lease: Lease) -> None:
    inbox.redis.set(lease_key(lease.consumer), "at work\n1\n", px=100)

    assert observed_states(inbox.redis) == {lease.consumer: "at work"}
