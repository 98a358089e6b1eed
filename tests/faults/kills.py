"""Workers that die, or only look dead."""

import time
from typing import Any, Final, cast

from sqlalchemy import text

from tests.faults.catalog import Size, fault
from tests.faults.crew import LEASE_S
from tests.faults.rig import Rig
from triagem.cli.processes import WorkerProcess
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import decode
from triagem.inbox.lease import alive
from triagem.inbox.stream import entries_of, stream_key

_MANY: Final = 200  # entries in hand: more than a window, a micro-batch in the model and one being committed
_SLOW_S: Final = 0.002


@fault("kill -9 at random moments, one worker", short=Size(600, times=2), full=Size(20_000, times=30))
def one_worker(rig: Rig, size: Size) -> None:
    _kills_at_random_moments(rig, size, workers=1)


@fault("kill -9 at random moments, two workers", short=Size(1000, times=2), full=Size(20_000, times=30))
def two_workers(rig: Rig, size: Size) -> None:
    _kills_at_random_moments(rig, size, workers=2)


def _kills_at_random_moments(rig: Rig, size: Size, *, workers: int) -> None:
    """The kills are spread over the run: each waits for its share of the tickets, and for the victim to hold some."""
    rig.publish(size.tickets)
    # Slower with two: while one starts, the other must not finish everything.
    pace = {"FAULT_SECONDS_PER_TEXT": _SLOW_S * workers}
    crew = [rig.start(**pace) for _ in range(workers)]
    for moment in sorted(rig.dice.uniform(0, 0.6) * size.tickets for _ in range(size.times)):
        place = rig.dice.randrange(workers)
        rig.busy(crew[place], stored=moment)
        rig.kill(crew[place])
        crew[place] = rig.start(**pace)
        rig.recovers()
    rig.drain()


@fault("kill -9 while the commit waits and the model goes on", short=Size(600, times=1), full=Size(5000, times=8))
def several_windows_in_flight(rig: Rig, size: Size) -> None:
    """What the dead worker had sent to Postgres is committed after its death: nobody hears that it was."""
    rig.publish(size.tickets)
    worker = rig.start()
    for _ in range(size.times):
        with rig.database.engine.begin() as other:
            rig.busy(worker)
            other.execute(text("LOCK TABLE tickets IN EXCLUSIVE MODE"))  # reads go on
            rig.until(lambda worker=worker: len(rig.crew.pending(worker)) > _MANY)  # type: ignore[misc]
            time.sleep(rig.dice.uniform(0, 0.1))
            rig.kill(worker)
        worker = rig.start()
        rig.recovers()
    rig.drain()


@fault("a thread of the worker dies", short=Size(600), full=Size(5000))
def a_dead_thread(rig: Rig, size: Size) -> None:
    """A worker that goes on without its model thread would hold its entries for ever, and look alive."""
    rig.publish(size.tickets)
    status = rig.crew.ended(rig.start(FAULT_EXITS_AFTER_CALLS=rig.dice.randint(2, 6)))
    assert status == 1, f"a worker that failed ended with {status}"
    assert rig.waiting() > 0, "it finished before its thread died"
    rig.start()
    rig.recovers()
    rig.drain()


@fault("SIGTERM in mid-window", short=Size(1000, times=1), full=Size(10_000, times=10))
def sigterm(rig: Rig, size: Size) -> None:
    rig.publish(size.tickets)
    for _ in range(size.times):
        worker = rig.start(FAULT_SECONDS_PER_TEXT=_SLOW_S)
        rig.busy(worker, stored=rig.stored() + 1)
        assert worker.stop(timeout_s=15) == 0, "it did not end well within its window"
        assert not rig.crew.at_work(worker), "something is pending under its name"
        assert rig.stored() + rig.waiting() == len(rig.book.revisions), "it left half a window"
        assert alive(rig.inbox.redis) == 0, "its lease is still there"
    rig.start()
    rig.recovers()
    rig.drain()


@fault("SIGSTOP for longer than the lease, then SIGCONT", short=Size(500, times=1), full=Size(5000, times=5))
def frozen(rig: Rig, size: Size) -> None:
    """The frozen worker's entries are taken over, and newer texts of them are stored, before it goes on."""
    for _ in range(size.times):
        rig.publish(size.tickets // size.times)
        zombie = rig.start()
        rig.busy(zombie)
        rig.crew.freeze(zombie)
        while not (held := _held(rig, zombie)):  # between two windows: once more
            rig.crew.thaw(zombie)
            rig.busy(zombie)
            rig.crew.freeze(zombie)
        rig.publish([newer(rig, ticket) for ticket in held[:20]])
        successor = rig.start()
        rig.recovers()
        rig.drain()
        assert successor.stop() == 0
        time.sleep(LEASE_S)  # drained or not: it was away for longer than its lease
        before = current_rows(rig)
        rig.crew.thaw(zombie)
        (last,) = rig.publish(1)  # committed by the zombie, so after all that it had in hand
        rig.drain()
        assert [row for row in current_rows(rig) if row[1] != last.external_id] == before, (
            "a late commit changed rows"
        )
        assert zombie.stop() == 0


def newer(rig: Rig, ticket: Ticket, words: str = "e mais uma palavra") -> Ticket:
    """A later text of the same ticket."""
    (later,) = rig.tickets(1, external_id=ticket.external_id, text=f"{ticket.text} {words}")
    return later


def _held(rig: Rig, worker: WorkerProcess) -> list[Ticket]:
    """What it has in hand."""
    found = []
    for entry_id in rig.crew.pending(worker):
        rows = cast("list[Any]", rig.inbox.redis.xrange(stream_key(Lane.LIVE), entry_id, entry_id))
        found += [decode(entry.payload or b"") for entry in entries_of(Lane.LIVE, rows)]
    return found


def current_rows(rig: Rig) -> list[tuple[object, ...]]:
    """All that is current, in the order of the ids."""
    with rig.database.autocommit() as connection:
        return [
            tuple(row)
            for row in connection.execute(text("SELECT source, external_id, t.* FROM tickets t ORDER BY id"))
        ]
