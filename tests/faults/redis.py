"""A Redis that dies, is away, is cut off in mid-reply, or is full."""

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
from triagem.inbox.desired import pause, resume
from triagem.inbox.stream import stream_key

_BYTES: Final = 4000  # a ticket with a long note: what waits must outweigh what Redis needs for itself
# What a worker says to Redis: takes, settles, claims, keeps its lease.
_SAYINGS: Final = ("XREADGROUP", "EXEC", "EVALSHA", "PEXPIRE")
# Each second read is of the other lane, which is empty: there is nothing to cut.
_NTH: Final = {"XREADGROUP": (1, 3, 5), "EXEC": (1, 2, 3, 4, 5)}


@fault("Redis killed and restarted", short=Size(1500, times=2), full=Size(20_000, times=10))
def killed(rig: Rig, size: Size) -> None:
    """With kill -9: what it acknowledged is in its append-only file."""
    outages.killed_and_restarted(rig, size, rig.stack.valkey)


@fault("Redis away", short=Size(1000, seconds=3), full=Size(10_000, seconds=60))
def away(rig: Rig, size: Size) -> None:
    """Far longer than a lease: nobody is dead, so nobody takes from anybody, and each attempt is only repeated."""
    outages.away(rig, size, rig.stack.valkey.stop, rig.stack.valkey.start)


@fault("Redis stands still", short=Size(1000, seconds=2), full=Size(10_000, seconds=30))
def frozen(rig: Rig, size: Size) -> None:
    """SIGSTOP for longer than a lease, as a slow disk does it. All leases have ended when it goes on, and no clock of
    its own tells it that it was away."""
    pid = rig.stack.valkey.pid
    assert pid
    outages.away(rig, size, partial(os.kill, pid, signal.SIGSTOP), partial(os.kill, pid, signal.SIGCONT))


@fault("a worker killed while Redis is away", short=Size(600, times=1), full=Size(5000, times=5))
def killed_meanwhile(rig: Rig, size: Size) -> None:
    """What it had stored and could not settle is delivered again, and stored once."""
    rig.publish(size.tickets)
    worker = rig.start()
    for _ in range(size.times):
        rig.busy(worker, stored=rig.stored() + 1)  # not before its model has something to compute
        rig.stack.valkey.stop()
        time.sleep(rig.dice.uniform(0.5, 1.0))  # until it has stored what it had in hand
        worker.kill()
        rig.book.kills += 1
        rig.stack.valkey.start()
        worker = rig.start()
        rig.recovers()
    rig.drain()


@fault("replies of Redis cut in the middle", short=Size(400, times=2), full=Size(8000, times=24))
def replies_cut(rig: Rig, size: Size) -> None:
    """Redis did what it was told, and the worker does not know."""
    for cut in range(size.times):
        saying = _SAYINGS[cut % len(_SAYINGS)]
        nth = rig.dice.choice(_NTH.get(saying, (1,)))
        rig.publish(size.tickets // size.times)
        rig.inbox.take(Lane.LIVE, "dead-worker", 20)  # something to claim
        with cutting_proxy(rig.endpoints.redis_url, saying, nth) as proxy:
            worker = rig.start(TRIAGEM_REDIS_URL=proxy.url, FAULT_SECONDS_PER_TEXT=0.002)
            rig.until(lambda proxy=proxy, saying=saying, nth=nth: proxy.commands.count(saying) >= nth)  # type: ignore[misc]
            rig.recovers()
            rig.drain()
            assert worker.stop() == 0, f"it did not live through a cut {saying}"


@fault("the producer's reply cut in the middle", short=Size(600), full=Size(5000))
def acceptance_cut(rig: Rig, size: Size) -> None:
    """The CRM does not know whether its tickets were accepted, and hands them in again."""
    rig.start()
    with cutting_proxy(rig.endpoints.redis_url, "EVALSHA", rig.dice.randint(3, 9)) as proxy:
        rig.publish_through(proxy.url)
        with rig.producing(size.tickets):
            pass
    rig.drain()
    assert rig.inbox.redis.xinfo_stream(stream_key(Lane.LIVE))["entries-added"] > size.tickets, "nothing came twice"


@fault("Redis full", short=Size(1000), full=Size(10_000))
def full(rig: Rig, size: Size) -> None:
    """Producers are told so, nothing is half enqueued, and workers make room while every other write is refused."""
    redis, usual = rig.inbox.redis, str(rig.inbox.redis.config_get("maxmemory")["maxmemory"])
    worker = rig.start()
    rig.publish(50)
    rig.drain()
    pause(redis)
    rig.until(lambda: "paused" in worker.log.read_text(encoding="utf-8"))
    try:
        # Producers may fill 80 %.
        limit = int((_used(rig) + size.tickets * _BYTES) / 0.8)
        redis.config_set("maxmemory", limit)
        with pytest.raises(InboxFull, match="memory"):
            rig.publish(rig.tickets(2 * size.tickets, first=50, metadata={"note": "x" * _BYTES}))
        accepted = rig.waiting()
        assert accepted == len(rig.book.revisions) - 50, "a batch was enqueued in part"
        assert _used(rig) < 0.85 * limit, "producers took what workers need"
        redis.config_set("maxmemory", _used(rig) - 2**17)
        with pytest.raises(InboxFull), redis_errors():
            redis.set("one more", b"byte")
        with rig.producing(size.tickets // 10):
            resume(redis)
            rig.recovers()
        rig.drain()
    finally:
        redis.config_set("maxmemory", usual)
    assert rig.crew.left == [worker]


def _used(rig: Rig) -> int:
    return int(rig.inbox.redis.info("memory")["used_memory"])
