"""Faults: Postgres is killed, unavailable, slow, out of connections, or aborts a statement."""

import time
from contextlib import ExitStack
from functools import partial

from tests.faults import outages
from tests.faults.catalog import Fault, Size, fault
from tests.faults.postgres_faults import failing, failures, no_connection_free, slow, stopped
from tests.faults.rig import Rig
from triagem.inbox.lease import list_workers


@fault("Postgres killed and restarted", short=Size(1500, times=2), full=Size(20_000, times=10))
def killed(rig: Rig, size: Size) -> None:
    """SIGKILL. A commit whose reply was lost may have succeeded, and is repeated."""
    outages.killed_and_restarted(rig, size, rig.stack.postgres)


@fault("Postgres unavailable", short=Size(1000, seconds=3), full=Size(10_000, seconds=60))
def unavailable(rig: Rig, size: Size) -> None:
    """Entries stay pending, and no delivery attempt is used up."""
    outages.unavailable(rig, size, rig.stack.postgres.stop, rig.stack.postgres.start)


@fault("a worker killed while Postgres is unavailable", short=Size(600, times=1), full=Size(5000, times=5))
def killed_meanwhile(rig: Rig, size: Size) -> None:
    """Results that were computed but not stored are lost with the worker; their entries must still be in Redis."""
    rig.publish(size.tickets)
    worker = rig.start()
    for _ in range(size.times):
        rig.busy(worker, stored=rig.stored() + 1)  # wait until its model has work
        rig.stack.postgres.stop()
        time.sleep(rig.random.uniform(0.5, 1.0))  # until it has computed its entries in flight
        rig.kill(worker)
        rig.stack.postgres.start()
        worker = rig.start()
        rig.recovers()
    rig.drain()


@fault(
    "workers killed while Postgres is unavailable and one ticket waits", short=Size(1, times=3), full=Size(1, times=6)
)
def killed_with_one_ticket(rig: Rig, size: Size) -> None:
    """Each worker lives longer than a lease. The ticket caused none of the deaths, so it must not be blamed."""
    worker = rig.start()
    rig.until(lambda: len(list_workers(rig.inbox.redis)) == 1)
    rig.stack.postgres.stop()
    rig.publish(size.tickets)
    try:
        for _ in range(size.times):
            rig.until(lambda worker=worker: rig.workers.is_busy(worker))  # type: ignore[misc]
            time.sleep(1)  # until it waits for Postgres
            rig.kill(worker)
            worker = rig.start()
    finally:
        rig.stack.postgres.start()
    rig.recovers()
    rig.drain()


@fault("Postgres slow", short=Size(1500, seconds=0.3), full=Size(3000, seconds=5))
def takes_its_time(rig: Rig, size: Size) -> None:
    """In the full form each window takes longer than a lease: a waiting worker is not dead."""
    # Above a second: on a busy disk Redis itself can stall for a second, in which leases expire.
    workers = [rig.start(TRIAGEM_LEASE_S=4), rig.start(TRIAGEM_LEASE_S=4)]
    with slow(rig.database, size.seconds):
        rig.publish(size.tickets)
        rig.drain()
    reclaimed = [worker.log for worker in workers if "entries_reclaimed" in worker.log.read_text(encoding="utf-8")]
    assert not reclaimed, f"live workers took entries from each other: {reclaimed}"
    assert rig.workers.running == workers


@fault("Postgres slower than a statement may take", short=Size(400, seconds=0.01), full=Size(2000, seconds=0.01))
def slower_than_allowed(rig: Rig, size: Size) -> None:
    """A window of more than 100 tickets takes too long, and is split."""
    with slow(rig.database, size.seconds, each="ROW"):
        rig.publish(size.tickets)
        worker = rig.start(TRIAGEM_STATEMENT_TIMEOUT_S=1, FAULT_SECONDS_PER_TEXT=0)
        rig.drain()
    assert "batch_split" in worker.log.read_text(encoding="utf-8"), "no window took too long"
    assert rig.workers.running == [worker], "the worker did not survive"


@fault("Postgres frozen", short=Size(1000, seconds=6), full=Size(10_000, seconds=60))
def frozen(rig: Rig, size: Size) -> None:
    """SIGSTOP: connections stay open without any answer. A worker that gets SIGTERM meanwhile stops in time."""
    limits = {"TRIAGEM_STATEMENT_TIMEOUT_S": 1, "FAULT_SECONDS_PER_TEXT": 0.002}
    workers = [rig.start(**limits), rig.start(**limits)]
    with rig.producing(size.tickets):
        for worker in workers:
            rig.busy(worker, stored=size.tickets / 10)
        with stopped(rig.stack.postgres):
            time.sleep(size.seconds / 2)
            workers[1].terminate()
            assert rig.workers.wait_for_exit(workers[1]) == 0
            time.sleep(size.seconds / 2)
        rig.recovers()
    rig.drain()
    assert rig.workers.running == workers[:1], "a worker did not survive"


@fault("Postgres out of connections", short=Size(1000, seconds=1.5), full=Size(10_000, seconds=20))
def no_connection(rig: Rig, size: Size) -> None:
    """Sessions are terminated, and new connections are rejected."""
    with ExitStack() as closed:
        close = partial(closed.enter_context, no_connection_free(rig.endpoints.database_url))
        outages.unavailable(rig, size, close, closed.close)


def _aborted(name: str, state: str, *, on_commit: bool = False) -> Fault:
    @fault(name, short=Size(600, times=3), full=Size(5000, times=12))
    def aborted(rig: Rig, size: Size) -> None:
        """The error is not about the rows: no ticket is blamed, and none leaves Redis."""
        rig.publish(size.tickets)
        with failing(rig.database, state, size.times, on_commit=on_commit):
            worker = rig.start()
            rig.until(lambda: failures(rig.database) >= size.times)
            rig.recovers()
            rig.drain()
        assert rig.workers.running == [worker], "the worker did not survive"

    return aborted


deadlock = _aborted("a deadlock", "40P01")
serialisation = _aborted("a serialisation failure", "40001")
disk_full = _aborted("disk full at the commit", "53100", on_commit=True)
