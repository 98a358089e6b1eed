"""The inbox on a real server, where fakeredis differs (see `conftest.py`): blocking reads, flushes and the clock."""

import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from tests.support.waiting import until
from triagem.contracts.errors import GroupMissing, InboxUnavailable
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox
from triagem.inbox.client import redis_errors
from triagem.inbox.reclaim import Reclaimer

LIVE, BULK = Lane


def wait_for_a_blocked_client(redis: Redis) -> None:
    until(lambda: redis.info("clients")["blocked_clients"] == 1)


@pytest.mark.parametrize("lane", list(Lane))
def test_an_idle_worker_wakes_on_a_put_into_either_lane(inbox: Inbox, lane: Lane) -> None:
    """INV-6."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(inbox.fetch_blocking, "worker", 10, block_s=20.0)
        wait_for_a_blocked_client(inbox.redis)
        put = inbox.put(lane, [b"x"])
        woken = waiting.result(timeout=15)

    assert [(entry.lane, entry.id) for entry in woken] == [(lane, put[0])]


def test_a_blocking_fetch_ends_after_its_time(inbox: Inbox) -> None:
    """INV-5: an empty inbox is not an outage."""
    assert inbox.fetch_blocking("worker", 10, block_s=0.1) == []


def test_a_flush_during_a_blocking_fetch_raises_that_the_group_is_missing(inbox: Inbox) -> None:
    """INV-7."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(inbox.fetch_blocking, "worker", 10, block_s=20.0)
        wait_for_a_blocked_client(inbox.redis)
        inbox.redis.flushall()
        error = waiting.exception(timeout=15)

    assert isinstance(error, GroupMissing)


def test_after_a_flush_the_groups_are_created_again_and_nothing_put_since_is_skipped(inbox: Inbox) -> None:
    """INV-7."""
    inbox.put(LIVE, [b"before"])
    inbox.redis.flushall()
    with pytest.raises(GroupMissing):
        inbox.fetch(LIVE, "worker", 1)
    inbox.put(LIVE, [b"since"])

    inbox.create_groups()

    assert [entry.payload for entry in inbox.fetch(LIVE, "worker", 10)] == [b"since"]


def test_the_oldest_entry_s_age_is_measured_by_redis_clock(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """INV-25: the clocks of a worker and of Redis may differ."""
    inbox.put(LIVE, [b"x"])
    monkeypatch.setattr(time, "time", lambda: 4e9)

    assert inbox.depth(LIVE).oldest_s == pytest.approx(0, abs=5)


def test_uptime_is_how_long_this_server_has_been_up(inbox: Inbox) -> None:
    """INV-8: a lease that expired while Redis was unavailable does not prove that its worker is dead."""
    first = Reclaimer(inbox).uptime_s()

    assert 0 <= first < time.monotonic()
    until(lambda: Reclaimer(inbox).uptime_s() > first)


def test_a_command_that_this_server_lacks_is_named_without_its_arguments(inbox: Inbox) -> None:
    """Redis' error repeats the arguments, which may be a customer's text. Some hosts rename EVALSHA."""
    client: Any = inbox.redis
    with pytest.raises(InboxUnavailable, match="unknown command 'NOSUCH'") as caught, redis_errors():
        client.execute_command("NOSUCH", "o meu cpf")

    assert "cpf" not in "".join(traceback.format_exception(caught.value))
