"""Faults: producers that are much faster than the workers, and a beat without an ops worker."""

import time

from tests.faults.catalog import Size, fault
from tests.faults.rig import Rig
from tests.faults.workers import ROOT
from tests.support.waiting import until
from triagem import Publisher
from triagem.broker import OPS_QUEUE
from triagem.cli.processes import WorkerProcess
from triagem.contracts.errors import InboxFull
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.ops.run import MAX_QUEUED


@fault("producers faster than the worker", short=Size(1500), full=Size(20_000))
def overload(rig: Rig, size: Size) -> None:
    """Bulk is rejected at its high-water mark, so Redis stays small; later live tickets are served first."""
    high_water = size.tickets // 3
    rig.publisher = Publisher(Inbox(rig.inbox.redis, InboxSettings(bulk_high_water=high_water)))
    rig.start(FAULT_SECONDS_PER_TEXT=0.001)
    max_waiting, rejected = 0, 0
    pending = rig.tickets(size.tickets)
    live = rig.tickets(size.tickets // 30, first=size.tickets)
    while pending:
        try:
            rig.publish(pending[:100], lane=Lane.BULK)
            del pending[:100]
        except InboxFull:
            rejected += 1
            rig.until(lambda: rig.waiting() <= high_water * 0.9)
        max_waiting = max(max_waiting, rig.waiting())
    rig.publish(live)
    rig.until(lambda: rig.inbox.redis.xlen("triagem:{0}:live") == 0)
    bulk = rig.inbox.redis.xlen("triagem:{0}:bulk")
    assert bulk > high_water / 3, f"live waited for bulk: only {bulk} bulk entries were left"
    assert rejected > 0, "the high-water mark was never reached"
    assert max_waiting <= high_water, f"{max_waiting} entries in Redis, the high-water mark is {high_water}"
    rig.recovers()
    rig.drain()


@fault("beat without an ops worker", short=Size(300, seconds=10), full=Size(3000, seconds=120))
def beat_without_ops(rig: Rig, size: Size) -> None:
    """Beat's queue stays short although messages are due every second."""
    every_second = {
        f"TRIAGEM_{name}": "1s" for name in ("DELIVER_EVERY", "ALERTS_EVERY", "MONITOR_EVERY", "RECLASSIFY_EVERY")
    }
    broker = connect(rig.endpoints.broker_url)
    broker.flushdb()
    rig.start()
    with WorkerProcess(rig.endpoints, rig.folder / "beat.log", "beat", PYTHONPATH=str(ROOT), **every_second) as beat:
        rig.publish(size.tickets)
        until(lambda: broker.llen(OPS_QUEUE) >= MAX_QUEUED, seconds=60)
        time.sleep(size.seconds)
        assert beat.exit_status is None
    assert MAX_QUEUED <= broker.llen(OPS_QUEUE) < 2 * MAX_QUEUED
    rig.drain()
