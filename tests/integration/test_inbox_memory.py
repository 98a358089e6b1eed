"""An inbox whose Redis is short of memory: producers wait, workers drain."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from redis import Redis

from tests.integration.conftest import ids
from tests.support.waiting import until
from triagem.contracts.errors import InboxFull
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.inbox.lease import Lease, list_workers, pause, paused, resume
from triagem.inbox.reclaim import Reclaimer
from triagem.inbox.stream import GROUP, stream_key
from triagem.producer import Publisher
from triagem.producer.columns import field_map
from triagem.producer.load import ReadingRules, load_records
from triagem.records.rows import Record
from triagem.stack import Endpoints

LIVE, BULK = Lane
MIB = 1024 * 1024
LimitMemory = Callable[[int], None]


@pytest.fixture
def limit_memory(redis: Redis) -> Iterator[LimitMemory]:
    """Sets `maxmemory` until the end of the test."""
    [before] = redis.config_get("maxmemory").values()

    def limit(limit_bytes: int) -> None:
        redis.config_set("maxmemory", limit_bytes)

    yield limit
    limit(int(before or 0))


@pytest.fixture
def fill_memory(limit_memory: LimitMemory) -> Callable[[], None]:
    """From then on Redis refuses every write that needs memory."""
    return lambda: limit_memory(1)


@pytest.fixture
def restricted_url(redis: Redis, endpoints: Endpoints) -> Iterator[str]:
    """The URL of a user with all permissions but INFO, as on hosted servers."""
    redis.acl_setuser("producer", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-info"])
    url = urlsplit(endpoints.redis_url)
    yield url._replace(netloc=f"producer:pw@{url.hostname}:{url.port}").geturl()
    redis.acl_deluser("producer")


def used_memory(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])


def test_a_batch_that_would_fill_more_than_the_producers_share_of_memory_is_refused_whole(
    inbox: Inbox, limit_memory: LimitMemory
) -> None:
    """INV-1: a count alone does not bound memory."""
    limit_memory(64 * MIB)

    with pytest.raises(InboxFull, match=r"^the bulk lane is full \(Redis uses over 80% of its memory\): wait"):
        inbox.put(BULK, [b"small"] + [b"x" * MIB] * 60)

    assert inbox.depth(BULK).waiting == 0


def test_a_batch_is_measured_before_it_is_stored(inbox: Inbox, limit_memory: LimitMemory) -> None:
    """INV-1: while the script runs, Redis holds a batch as arguments and as entries: 2 x 30 MiB is too much."""
    limit_memory(64 * MIB)

    with pytest.raises(InboxFull):
        inbox.put(BULK, [b"x" * MIB] * 30)

    assert len(inbox.put(BULK, [b"x" * MIB] * 15)) == 15


def test_the_share_of_memory_is_a_setting(inbox: Inbox, limit_memory: LimitMemory) -> None:
    """INV-1."""
    inbox.put(LIVE, [b"x" * MIB] * 4)
    limit_memory(8 * MIB)

    with pytest.raises(InboxFull, match="over 40%"):
        Inbox(inbox.redis, InboxSettings(memory_share=0.4)).put(LIVE, [b"x"])


def test_without_a_memory_limit_only_the_high_water_mark_applies(inbox: Inbox, limit_memory: LimitMemory) -> None:
    """INV-1: `maxmemory 0` is Redis' default."""
    limit_memory(0)

    assert len(inbox.put(LIVE, [b"x" * 1_000_000])) == 1


def test_producers_can_put_again_after_draining(inbox: Inbox, limit_memory: LimitMemory) -> None:
    """INV-1: a share of memory is reserved so that workers can drain."""
    inbox.put(LIVE, [b"x" * MIB] * 30)
    limit_memory(32 * MIB)
    with pytest.raises(InboxFull):
        inbox.put(LIVE, [b"x"])

    inbox.ack(inbox.fetch(LIVE, "worker", 30))

    until(lambda: used_memory(inbox.redis) < 16 * MIB)  # Redis frees in the background
    assert len(inbox.put(LIVE, [b"x"])) == 1


def test_redis_own_refusal_is_a_full_inbox_too(
    inbox: Inbox, restricted_url: str, fill_memory: Callable[[], None]
) -> None:
    """INV-1: where INFO is forbidden, `put` cannot check memory, and `noeviction` is the last limit."""
    with connect(restricted_url) as redis:
        producer = Inbox(redis)
        producer.put(LIVE, [b"x"])
        fill_memory()

        with pytest.raises(InboxFull, match="memory limit"):
            producer.put(LIVE, [b"x", b"y"])

    assert inbox.depth(LIVE).waiting == 1


def test_workers_fetch_and_ack_while_memory_is_full(inbox: Inbox, fill_memory: Callable[[], None]) -> None:
    """INV-1: draining frees memory, so it must work without free memory, even for a new consumer name."""
    for lane in Lane:
        inbox.put(lane, [b"x"] * 2)
    fill_memory()

    inbox.ack(inbox.fetch_blocking("worker", 1, block_s=0.1) + inbox.fetch(LIVE, "worker", 1))

    assert [inbox.depth(lane).waiting for lane in Lane] == [0, 1]
    assert [inbox.depth(lane).in_flight for lane in Lane] == [0, 0]


def test_entries_of_dead_workers_are_claimed_while_memory_is_full(
    inbox: Inbox, fill_memory: Callable[[], None]
) -> None:
    """INV-8: a dead worker's entries must be reclaimable without free memory."""
    put = inbox.put(LIVE, [b"x"] * 3)
    inbox.fetch(LIVE, "dead", 3)
    reclaimer = Reclaimer(inbox)
    fill_memory()

    assert ids(reclaimer.reclaim(LIVE, "reclaimer", 2)) == put[:2]
    assert ids(reclaimer.recover_lost_replies(LIVE, "reclaimer", {put[0]})) == put[1:2]
    reclaimer.reclaim(LIVE, "reclaimer", 2)
    reclaimer.reclaim(LIVE, "reclaimer", 2)
    assert [row["name"] for row in inbox.redis.xinfo_consumers(stream_key(LIVE), GROUP)] == [b"reclaimer"]


def test_a_lease_is_refreshed_while_memory_is_full(inbox: Inbox, fill_memory: Callable[[], None]) -> None:
    """INV-8: PEXPIRE needs no memory; a SET in its place would make every worker look dead at once."""
    lease = Lease(inbox.redis, 15)
    lease.acquire()
    name = lease.consumer
    fill_memory()

    assert lease.refresh()

    assert lease.consumer == name


def test_a_lost_lease_is_replaced_only_once_there_is_memory_for_it(inbox: Inbox, limit_memory: LimitMemory) -> None:
    """INV-8: the new name is used only once its lease exists; otherwise its entries could be claimed at once."""
    lease = Lease(inbox.redis, 15)
    previous = lease.consumer
    limit_memory(1)

    with pytest.raises(InboxFull):
        lease.refresh()
    assert lease.consumer == previous

    limit_memory(0)
    assert not lease.refresh()
    assert lease.consumer != previous
    assert len(list_workers(inbox.redis)) == 1


def test_workers_can_be_resumed_but_not_paused_while_memory_is_full(
    inbox: Inbox, fill_memory: Callable[[], None]
) -> None:
    """INV-21: pausing fails with an error if Redis is full."""
    pause(inbox.redis)
    fill_memory()

    resume(inbox.redis)
    with pytest.raises(InboxFull):
        pause(inbox.redis)

    assert not paused(inbox.redis)


def test_a_file_of_the_longest_texts_is_loaded_into_an_empty_redis_without_waiting(
    inbox: Inbox, limit_memory: LimitMemory
) -> None:
    """INV-1: 500 such payloads take 150 MB, and 300 MB while one script adds them."""
    limit_memory(256 * MIB)
    records = (Record(number, {"external_id": str(number), "text": "\u4e2d" * 99_000}) for number in range(1, 501))

    def wait(_: float) -> None:
        raise AssertionError("the load waits for an empty inbox")

    rules = ReadingRules(field_map(["external_id", "text"], None), "crm")
    summary = load_records(records, rules, Publisher(inbox), lane=BULK, strict=True, sleep=wait)

    assert (summary.accepted, inbox.depth(BULK).waiting) == (500, 500)
