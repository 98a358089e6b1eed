"""A Postgres that dies, is away, is slow, has no connection free, or gives a statement up."""

import time
from contextlib import ExitStack
from functools import partial

from tests.faults import outages
from tests.faults.catalog import Fault, Size, fault
from tests.faults.rig import Rig
from tests.faults.sabotage import failing, failures, no_connection_free, slow


@fault("Postgres killed and restarted", short=Size(1500, times=2), full=Size(20_000, times=10))
def killed(rig: Rig, size: Size) -> None:
    """With kill -9. A commit whose answer was lost may have happened, and is made once more."""
    outages.killed_and_restarted(rig, size, rig.stack.postgres)


@fault("Postgres away", short=Size(1000, seconds=3), full=Size(10_000, seconds=60))
def away(rig: Rig, size: Size) -> None:
    """Entries stay pending, and no attempt is burnt."""
    outages.away(rig, size, rig.stack.postgres.stop, rig.stack.postgres.start)


@fault("a worker killed while Postgres is away", short=Size(600, times=1), full=Size(5000, times=5))
def killed_meanwhile(rig: Rig, size: Size) -> None:
    """What it had computed and could not store dies with it, and must still be in Redis."""
    rig.publish(size.tickets)
    worker = rig.start()
    for _ in range(size.times):
        rig.busy(worker, stored=rig.stored() + 1)  # not before its model has something to compute
        rig.stack.postgres.stop()
        time.sleep(rig.dice.uniform(0.5, 1.0))  # until it has computed what it had in hand
        rig.kill(worker)
        rig.stack.postgres.start()
        worker = rig.start()
        rig.recovers()
    rig.drain()


@fault("Postgres slow", short=Size(1500, seconds=0.3), full=Size(3000, seconds=5))
def takes_its_time(rig: Rig, size: Size) -> None:
    """Each window takes longer than a lease in the full form: a worker that waits is not dead."""
    # Above a second: on a busy disk Redis itself stands still that long at times, and its leases end meanwhile.
    workers = [rig.start(TRIAGEM_LEASE_S=4), rig.start(TRIAGEM_LEASE_S=4)]
    with slow(rig.database, size.seconds):
        rig.publish(size.tickets)
        rig.drain()
    rescued = [worker.log for worker in workers if "rescued" in worker.log.read_text(encoding="utf-8")]
    assert not rescued, f"living workers took from each other: {rescued}"
    assert rig.crew.left == workers


@fault("no connection of Postgres free", short=Size(1000, seconds=1.5), full=Size(10_000, seconds=20))
def no_connection(rig: Rig, size: Size) -> None:
    """Sessions end, and nobody is let in."""
    with ExitStack() as closed:
        close = partial(closed.enter_context, no_connection_free(rig.endpoints.database_url))
        outages.away(rig, size, close, closed.close)


def _given_up(name: str, state: str, *, on_commit: bool = False) -> Fault:
    @fault(name, short=Size(600, times=3), full=Size(5000, times=12))
    def given_up(rig: Rig, size: Size) -> None:
        """It says nothing of the rows: no ticket is blamed, none leaves Redis."""
        rig.publish(size.tickets)
        with failing(rig.database, state, size.times, on_commit=on_commit):
            worker = rig.start()
            rig.until(lambda: failures(rig.database) >= size.times)
            rig.recovers()
            rig.drain()
        assert rig.crew.left == [worker], "the worker did not live through it"

    return given_up


deadlock = _given_up("a deadlock", "40P01")
serialisation = _given_up("a serialisation failure", "40001")
disk_full = _given_up("disk full at the commit", "53100", on_commit=True)
