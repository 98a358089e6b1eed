"""Tickets that nobody can process: they alone end as dead letters, with a reason, and their neighbours commit."""

from collections.abc import Callable
from typing import Final

from tests.faults.catalog import Fault, Size, fault
from tests.faults.engine import KILLS, RAISES
from tests.faults.rig import Rig
from tests.faults.sabotage import trigger
from tests.support.waiting import until
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import encode

_MOST_DEATHS: Final = 5  # of one poisonous ticket: in company, then alone, each after a self-check that passed
_REFUSED: Final = "refused"


def _unreadable(name: str, spoil: Callable[[Ticket], bytes]) -> Fault:
    @fault(name, short=Size(300), full=Size(5000))
    def unreadable(rig: Rig, size: Size) -> None:
        rig.start()
        for start in range(0, size.tickets, 100):
            (spoilt,) = rig.tickets(1, first=10**6 + start)
            rig.book.expect_dead(Lane.LIVE, rig.inbox.put(Lane.LIVE, [spoil(spoilt)]))
            rig.publish(99)
        rig.drain()

    return unreadable


not_json = _unreadable("an entry that is not JSON", lambda ticket: b"\xff" + encode(ticket))
unknown_version = _unreadable(
    "an entry of an unknown wire version", lambda ticket: encode(ticket).replace(b'"v":1', b'"v":2')
)


@fault("texts that make the model raise", short=Size(400, times=2), full=Size(5000, times=25))
def raises(rig: Rig, size: Size) -> None:
    _among_others(rig, size, RAISES)
    worker = rig.start()
    rig.drain()
    assert rig.crew.left == [worker], "one poisonous ticket stopped the worker"


@fault("one text that makes the model raise, in an idle system", short=Size(10), full=Size(10))
def raises_alone(rig: Rig, size: Size) -> None:
    """Every micro-batch of that moment fails: that says nothing of the device."""
    worker = rig.start()
    rig.publish(size.tickets - 1)
    rig.drain()
    _poison(rig, 10**6, RAISES)
    rig.drain()
    rig.publish(1)
    rig.drain()
    assert rig.crew.left == [worker], "one poisonous ticket stopped the worker"


@fault("texts that kill the process", short=Size(300, times=1), full=Size(3000, times=5))
def kills(rig: Rig, size: Size) -> None:
    """Each death is followed by a new worker, as Kubernetes would start it."""
    _among_others(rig, size, KILLS)
    worker = rig.start()

    def drained() -> bool:
        nonlocal worker
        if worker.exit_status is not None:
            rig.book.kills += 1
            assert rig.book.kills <= _MOST_DEATHS * size.times, f"{rig.book.kills} deaths: nobody is suspected"
            worker = rig.start()
        return rig.waiting() == 0

    until(drained, seconds=120)


@fault("out of memory above 16 texts", short=Size(400), full=Size(5000))
def out_of_memory(rig: Rig, size: Size) -> None:
    """No text is to blame: smaller batches fit."""
    rig.publish(size.tickets)
    worker = rig.start(FAULT_TEXTS_IN_MEMORY=16)
    rig.drain()
    assert rig.crew.left == [worker]


@fault("a broken device", short=Size(400), full=Size(5000))
def broken_device(rig: Rig, size: Size) -> None:
    """Everything fails, the self-check too: the worker ends, and nothing is condemned."""
    rig.publish(size.tickets)
    status = rig.crew.ended(rig.start(FAULT_BREAKS_AFTER_CALLS=rig.dice.randint(3, 8)))
    assert status != 0, "a worker whose device is broken ended as if all was well"
    assert not rig.dead(), "tickets were condemned for a broken device"
    rig.start()
    rig.recovers()
    rig.drain()


@fault("rows that Postgres refuses", short=Size(400, times=2), full=Size(5000, times=25))
def refused_rows(rig: Rig, size: Size) -> None:
    refuse = f"IF NEW.external_id LIKE '{_REFUSED}%' THEN RAISE EXCEPTION 'as told' USING ERRCODE = '23514'; END IF;"
    with trigger(rig.database, refuse, "BEFORE INSERT ON tickets FOR EACH ROW"):
        for number in range(size.times):
            rig.publish(size.tickets // size.times)
            _poison(rig, number, external_id=f"{_REFUSED}-{number}")
        worker = rig.start()
        rig.drain()
    assert rig.crew.left == [worker], "one refused row stopped the worker"


def _among_others(rig: Rig, size: Size, word: str) -> None:
    for number in range(size.times):
        rig.publish(size.tickets // size.times)
        _poison(rig, 10**6 + number, word)


def _poison(rig: Rig, number: int, word: str = "", **changes: str) -> None:
    """One ticket that must become a dead letter, for a word in its text or for its fields."""
    (ticket,) = rig.tickets(1, first=number, **({"text": f"please {word} now"} if word else {}), **changes)
    accepted = rig.publisher.put([ticket])
    rig.book.accept([ticket])
    rig.book.expect_dead(Lane.LIVE, [one.entry_id for one in accepted], [ticket])
