"""Who is alive (INV-8): a lease is a key with a time to live, and its name is used by one boot of one worker."""

import pytest

from triagem.inbox import Inbox
from triagem.inbox.lease import Lease, lease_key, list_workers, live_worker_count, worker_states


@pytest.fixture
def inbox(either_inbox: Inbox) -> Inbox:
    """Over fakeredis and over the real server."""
    return either_inbox


@pytest.fixture
def lease(inbox: Inbox) -> Lease:
    """A lease of 15 s that was taken."""
    made = Lease(inbox.redis, 15)
    made.acquire()
    return made


def left_ms(inbox: Inbox, consumer: str) -> int:
    """What is left of a lease; negative where there is none, or one without an end."""
    return inbox.redis.pttl(lease_key(consumer))


def test_every_boot_has_a_name_of_its_own(inbox: Inbox) -> None:
    """INV-8: containers share host names and process ids, so these alone would not do."""
    assert len({Lease(inbox.redis, 15).consumer for _ in range(1000)}) == 1000


def test_nobody_is_alive_before_a_lease_was_taken(inbox: Inbox) -> None:
    """INV-8."""
    Lease(inbox.redis, 15)

    assert live_worker_count(inbox.redis) == 0


def test_a_lease_ends_by_itself(inbox: Inbox, lease: Lease) -> None:
    """INV-8: a worker that was killed cannot give its lease back."""
    assert 14_000 < left_ms(inbox, lease.consumer) <= 15_000


def test_a_lease_may_be_shorter_than_a_second(inbox: Inbox) -> None:
    """INV-8."""
    short = Lease(inbox.redis, 0.5)
    short.acquire()

    assert 0 < left_ms(inbox, short.consumer) <= 500


def test_refreshing_prolongs_the_lease_and_keeps_the_name(inbox: Inbox, lease: Lease) -> None:
    """INV-8."""
    name = lease.consumer
    inbox.redis.pexpire(lease_key(name), 1000)

    assert lease.refresh()

    assert lease.consumer == name
    assert 14_000 < left_ms(inbox, name) <= 15_000


def test_a_worker_whose_lease_is_gone_goes_on_under_a_new_name(inbox: Inbox, lease: Lease) -> None:
    """INV-8: others may have claimed what it held."""
    former = lease.consumer
    inbox.redis.delete(lease_key(former))

    assert not lease.refresh()

    assert lease.consumer != former
    assert left_ms(inbox, lease.consumer) > 14_000


def test_a_lost_lease_is_never_revived(inbox: Inbox, lease: Lease) -> None:
    """INV-8: two live workers would claim from each other."""
    former = lease.consumer
    inbox.redis.delete(lease_key(former))
    lease.refresh()

    assert lease.refresh()

    assert left_ms(inbox, former) < 0
    assert live_worker_count(inbox.redis) == 1


def test_releasing_ends_the_lease_at_once(inbox: Inbox, lease: Lease) -> None:
    """INV-8: what is still pending need not wait for its end."""
    lease.release()

    assert live_worker_count(inbox.redis) == 0


def test_releasing_leaves_the_leases_of_others_alone(inbox: Inbox, lease: Lease) -> None:
    """INV-8."""
    other = Lease(inbox.redis, 15)
    other.acquire()

    lease.release()

    assert left_ms(inbox, other.consumer) > 0


def test_everybody_with_a_lease_counts_as_alive(inbox: Inbox) -> None:
    """INV-25: keys of other kinds do not."""
    for _ in range(3):
        Lease(inbox.redis, 15).acquire()
    inbox.redis.set("triagem:{0}:paused", b"1")

    assert live_worker_count(inbox.redis) == 3


def test_a_worker_says_what_it_does_beside_its_lease(inbox: Inbox) -> None:
    lease = Lease(inbox.redis, 60)
    lease.acquire()
    lease.report_state("waiting: Postgres does not answer")

    assert worker_states(inbox.redis) == {lease.consumer: "waiting: Postgres does not answer"}
    assert 0 < inbox.redis.ttl(lease_key(lease.consumer)) <= 60


def test_a_worker_says_its_rate_too_whatever_its_state_holds(inbox: Inbox) -> None:
    lease = Lease(inbox.redis, 60)
    lease.acquire()
    lease.report_state("waiting: two\nlines")
    assert [(one.state, one.rate) for one in list_workers(inbox.redis)] == [("waiting: two lines", 0)]
    lease.report_state("waiting: two\nlines", 12.5)
    assert [(one.state, one.rate) for one in list_workers(inbox.redis)] == [("waiting: two lines", 12.5)]


def test_what_a_worker_says_brings_no_lost_lease_back(inbox: Inbox) -> None:
    lease = Lease(inbox.redis, 60)
    lease.acquire()
    lease.release()
    lease.report_state("at work")

    assert worker_states(inbox.redis) == {}


def test_a_worker_of_a_former_release_does_not_say_that_it_reads_claim_checks(inbox: Inbox, lease: Lease) -> None:
    inbox.redis.set(lease_key("former"), "waiting: two\nlines")

    assert {one.name: (one.state, one.rate, one.reads_ticket_refs) for one in list_workers(inbox.redis)} == {
        lease.consumer: ("warming up", 0, True),
        "former": ("waiting: two", 0, False),
    }
    lease.report_state("at work", 12.5)
    inbox.redis.delete(lease_key("former"))
    assert [one.reads_ticket_refs for one in list_workers(inbox.redis)] == [True]
