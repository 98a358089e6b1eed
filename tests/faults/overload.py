"""Producers that are far faster than the workers."""

from tests.faults.catalog import Size, fault
from tests.faults.rig import Rig
from triagem.contracts.errors import InboxFull
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox, InboxSettings
from triagem.producer import Publisher


@fault("producers faster than the worker", short=Size(1500), full=Size(20_000))
def overload(rig: Rig, size: Size) -> None:
    """Bulk is held back at its mark, so Redis stays small; live tickets that come last are served first."""
    mark = size.tickets // 3
    rig.publisher = Publisher(Inbox(rig.inbox.redis, InboxSettings(bulk_mark=mark)))
    rig.start(FAULT_SECONDS_PER_TEXT=0.001)
    most, refused = 0, 0
    pending = rig.tickets(size.tickets)
    live = rig.tickets(size.tickets // 30, first=size.tickets)
    while pending:
        try:
            rig.publish(pending[:100], lane=Lane.BULK)
            del pending[:100]
        except InboxFull:
            refused += 1
            rig.until(lambda: rig.waiting() <= mark * 0.9)
        most = max(most, rig.waiting())
    rig.publish(live)
    rig.until(lambda: rig.inbox.redis.xlen("triagem:{0}:live") == 0)
    bulk = rig.inbox.redis.xlen("triagem:{0}:bulk")
    assert bulk > mark / 3, f"live waited for bulk: only {bulk} of it were left"
    assert refused > 0, "the mark was never reached"
    assert most <= mark, f"{most} entries in Redis, the mark is {mark}"
    rig.recovers()
    rig.drain()
