"""Faults: Redis is killed, unavailable, cut off in mid-reply, or full."""

import os
import signal
import time
from functools import partial
from typing import Final

import pytest

from tests.faults import outages
from tests.faults.catalog import Size, fault
from tests.faults.rig import Rig
from tests.support.proxy import cutting_proxy
from triagem.contracts.errors import InboxFull
from triagem.contracts.ticket import Lane
from triagem.inbox.client import redis_errors
from triagem.inbox.lease import pause, resume
from triagem.inbox.stream import stream_key

_BYTES: Final = 4000  # a ticket with a long note: entries must need more memory than Redis itself
# Commands of a worker: fetch, ack, reclaim, refresh the lease.
_COMMANDS: Final = ("XREADGROUP", "EXEC", "EVALSHA", "PEXPIRE")
# Every second read is from the other lane, whose empty reply cannot be cut.
_NTH: Final = {"XREADGROUP": (1, 3, 5), "EXEC": (1, 2, 3, 4, 5)}


@fault("Redis killed and restarted", short=Size(1500, times=2), full=Size(20_000, times=10))
def killed(rig: Rig, size: Size) -> None:
    """SIGKILL: everything that Redis acknowledged is in its append-only file."""
    outages.killed_and_restarted(rig, size, rig.stack.valkey)


@fault("Redis unavailable", short=Size(1000, seconds=3), full=Size(10_000, seconds=60))
def unavailable(rig: Rig, size: Size) -> None:
    """The outage is far longer than a lease. No worker is dead, so none reclaims entries; each repeats its call."""
    outages.unavailable(rig, size, rig.stack.valkey.stop, rig.stack.valkey.start)


@fault("Redis frozen", short=Size(1000, seconds=2), full=Size(10_000, seconds=30))
def frozen(rig: Rig, size: Size) -> None:
    """SIGSTOP for longer than a lease, like a slow disk. All leases have expired when Redis continues, and its clock
    does not show that it was frozen."""
    pid = rig.stack.valkey.pid
    assert pid
    outages.unavailable(rig, size, partial(os.kill, pid, signal.SIGSTOP), partial(os.kill, pid, signal.SIGCONT))


@fault("a worker killed while Redis is unavailable", short=Size(600, times=1), full=Size(5000, times=5))
def killed_meanwhile(rig: Rig, size: Size) -> None:
    """Entries that were stored but not acknowledged are delivered again, and stored once."""
    rig.publish(size.tickets)
    worker = rig.start()
    for _ in range(size.times):
        rig.busy(worker, stored=rig.stored() + 1)  # wait until its model has work
        rig.stack.valkey.stop()
        time.sleep(rig.random.uniform(0.5, 1.0))  # until it has stored its entries in flight
        worker.kill()
        rig.expected.kills += 1
        rig.stack.valkey.start()
        worker = rig.start()
        rig.recovers()
    rig.drain()


@fault("replies of Redis cut in the middle", short=Size(400, times=2), full=Size(8000, times=24))
def replies_cut(rig: Rig, size: Size) -> None:
    """Redis has executed the command, and the worker does not know."""
    for cut in range(size.times):
        command = _COMMANDS[cut % len(_COMMANDS)]
        nth = rig.random.choice(_NTH.get(command, (1,)))
        rig.publish(size.tickets // size.times)
        rig.inbox.fetch(Lane.LIVE, "dead-worker", 20)  # an entry that can be reclaimed
        with cutting_proxy(rig.endpoints.redis_url, command, nth) as proxy:
            worker = rig.start(TRIAGEM_REDIS_URL=proxy.url, FAULT_SECONDS_PER_TEXT=0.002)
            rig.until(lambda proxy=proxy, command=command, nth=nth: proxy.commands.count(command) >= nth)  # type: ignore[misc]
            rig.recovers()
            rig.drain()
            assert worker.stop() == 0, f"the worker did not survive a cut {command}"


@fault("the producer's reply cut in the middle", short=Size(600), full=Size(5000))
def acceptance_cut(rig: Rig, size: Size) -> None:
    """The CRM does not know whether its tickets were accepted, and sends them again."""
    rig.start()
    with cutting_proxy(rig.endpoints.redis_url, "EVALSHA", rig.random.randint(3, 9)) as proxy:
        rig.publish_through(proxy.url)
        with rig.producing(size.tickets):
            pass
    rig.drain()
    assert rig.inbox.redis.xinfo_stream(stream_key(Lane.LIVE))["entries-added"] > size.tickets, (
        "no ticket was sent twice"
    )


@fault("Redis full", short=Size(1000), full=Size(10_000))
def full(rig: Rig, size: Size) -> None:
    """Producers get an error, no batch is enqueued in part, and workers free memory while all other writes fail."""
    redis, original = rig.inbox.redis, str(rig.inbox.redis.config_get("maxmemory")["maxmemory"])
    worker = rig.start()
    rig.publish(50)
    rig.drain()
    pause(redis)
    rig.until(lambda: "paused" in worker.log.read_text(encoding="utf-8"))
    try:
        # Producers may use up to 80 % of the memory.
        limit = int((_used(rig) + size.tickets * _BYTES) / 0.8)
        redis.config_set("maxmemory", limit)
        with pytest.raises(InboxFull, match="memory"):
            rig.publish(rig.tickets(2 * size.tickets, first=50, metadata={"note": "x" * _BYTES}))
        accepted = rig.waiting()
        assert accepted == len(rig.expected.revisions) - 50, "a batch was enqueued in part"
        assert _used(rig) < 0.85 * limit, "producers used the memory reserved for workers"
        redis.config_set("maxmemory", _used(rig) - 2**17)
        with pytest.raises(InboxFull), redis_errors():
            redis.set("one more", b"byte")
        with rig.producing(size.tickets // 10):
            resume(redis)
            rig.recovers()
        rig.drain()
    finally:
        redis.config_set("maxmemory", original)
    assert rig.workers.running == [worker]


def _used(rig: Rig) -> int:
    return int(rig.inbox.redis.info("memory")["used_memory"])
