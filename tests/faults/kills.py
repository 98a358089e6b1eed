"""Faults: workers that die, or that seem dead to other workers."""

import time
from typing import Any, Final, cast

from sqlalchemy import text

from tests.faults.catalog import Size, fault
from tests.faults.rig import Rig
from tests.faults.workers import LEASE_S
from triagem.cli.processes import WorkerProcess
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import decode
from triagem.inbox.lease import list_workers
from triagem.inbox.stream import entries_of, stream_key

_MANY: Final = 200  # entries in flight: more than a window, a micro-batch in the model and one being committed
_SLOW_S: Final = 0.002


@fault("kill -9 at random moments, one worker", short=Size(600, times=1), full=Size(20_000, times=30))
def one_worker(rig: Rig, size: Size) -> None:
    _kills_at_random_moments(rig, size, count=1)


@fault("kill -9 at random moments, two workers", short=Size(1000, times=2), full=Size(20_000, times=30))
def two_workers(rig: Rig, size: Size) -> None:
    _kills_at_random_moments(rig, size, count=2)


def _kills_at_random_moments(rig: Rig, size: Size, *, count: int) -> None:
    """Spread the kills over the run. Each waits until its share of tickets is done and its victim holds entries."""
    rig.publish(size.tickets)
    # With two workers the model is slower: while one starts, the other must not finish all tickets.
    pace = {"FAULT_SECONDS_PER_TEXT": _SLOW_S * count}
    workers = [rig.start(**pace) for _ in range(count)]
    for moment in sorted(rig.random.uniform(0, 0.6) * size.tickets for _ in range(size.times)):
        victim = rig.random.randrange(count)
        rig.busy(workers[victim], stored=moment)
        rig.kill(workers[victim])
        workers[victim] = rig.start(**pace)
        rig.recovers()
    rig.drain()


@fault("kill -9 while the commit waits and the model goes on", short=Size(600, times=1), full=Size(5000, times=8))
def several_windows_in_flight(rig: Rig, size: Size) -> None:
    """A dead worker's statement commits after its death, and no worker gets the reply to it."""
    rig.publish(size.tickets)
    worker = rig.start()
    for _ in range(size.times):
        with rig.database.engine.begin() as other:
            rig.busy(worker)
            other.execute(text("LOCK TABLE tickets IN EXCLUSIVE MODE"))  # reads go on
            rig.until(lambda worker=worker: len(rig.workers.pending(worker)) > _MANY)  # type: ignore[misc]
            time.sleep(rig.random.uniform(0, 0.1))
            rig.kill(worker)
        worker = rig.start()
        rig.recovers()
    rig.drain()


@fault("a thread of the worker dies", short=Size(600), full=Size(5000))
def a_dead_thread(rig: Rig, size: Size) -> None:
    """A worker that continued without its model thread would hold its entries forever, and look alive."""
    rig.publish(size.tickets)
    status = rig.workers.wait_for_exit(rig.start(FAULT_EXITS_AFTER_CALLS=rig.random.randint(2, 6)))
    assert status == 1, f"a failed worker exited with {status}"
    assert rig.waiting() > 0, "the worker finished before its thread died"
    rig.start()
    rig.recovers()
    rig.drain()


@fault("SIGTERM in mid-window", short=Size(1000, times=1), full=Size(10_000, times=10))
def sigterm(rig: Rig, size: Size) -> None:
    rig.publish(size.tickets)
    for _ in range(size.times):
        worker = rig.start(FAULT_SECONDS_PER_TEXT=_SLOW_S)
        rig.busy(worker, stored=rig.stored() + 1)
        assert worker.stop(timeout_s=15) == 0, "the worker did not exit with 0"
        assert not rig.workers.is_busy(worker), "entries are pending for the stopped worker"
        assert rig.stored() + rig.waiting() == len(rig.expected.revisions), "a window was stored in part"
        assert len(list_workers(rig.inbox.redis)) == 0, "the lease still exists"
    rig.start()
    rig.recovers()
    rig.drain()


@fault("SIGSTOP for longer than the lease, then SIGCONT", short=Size(500, times=1), full=Size(5000, times=5))
def frozen(rig: Rig, size: Size) -> None:
    """The entries of the frozen worker are reclaimed, and newer revisions are stored, before it continues."""
    for _ in range(size.times):
        rig.publish(size.tickets // size.times)
        zombie = rig.start()
        rig.busy(zombie)
        rig.workers.freeze(zombie)
        while not (held := _held(rig, zombie)):  # frozen between two windows: try again
            rig.workers.thaw(zombie)
            rig.busy(zombie)
            rig.workers.freeze(zombie)
        rig.publish([newer(rig, ticket) for ticket in held[:20]])
        successor = rig.start()
        rig.recovers()
        rig.drain()
        assert successor.stop() == 0
        time.sleep(LEASE_S)  # even if drained, so that the worker was frozen for longer than its lease
        before = current_rows(rig)
        rig.workers.thaw(zombie)
        (last,) = rig.publish(1)  # when the resumed worker commits this ticket, it has finished its entries in flight
        rig.drain()
        assert [row for row in current_rows(rig) if row[1] != last.external_id] == before, (
            "a late commit changed rows"
        )
        assert zombie.stop() == 0


def newer(rig: Rig, ticket: Ticket, suffix: str = "e mais uma palavra") -> Ticket:
    """A later revision of the same ticket."""
    (later,) = rig.tickets(1, external_id=ticket.external_id, text=f"{ticket.text} {suffix}")
    return later


def _held(rig: Rig, worker: WorkerProcess) -> list[Ticket]:
    """Tickets that the worker holds."""
    tickets = []
    for entry_id in rig.workers.pending(worker):
        rows = cast("list[Any]", rig.inbox.redis.xrange(stream_key(Lane.LIVE), entry_id, entry_id))
        tickets += [decode(entry.payload or b"") for entry in entries_of(Lane.LIVE, rows)]
    return tickets


def current_rows(rig: Rig) -> list[tuple[object, ...]]:
    """All current rows, ordered by id."""
    with rig.database.autocommit() as connection:
        return [
            tuple(row)
            for row in connection.execute(text("SELECT source, external_id, t.* FROM tickets t ORDER BY id"))
        ]
