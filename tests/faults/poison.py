"""Faults: tickets that cannot be processed. Only these become dead letters, each with a reason; all others commit."""

from collections.abc import Callable
from typing import Final

from tests.faults.catalog import Fault, Size, fault
from tests.faults.engine import KILLS, RAISES
from tests.faults.postgres_faults import trigger
from tests.faults.rig import Rig
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import encode

_MAX_CRASHES: Final = 5  # per poison ticket: in a batch, then alone, each after a passed self-check
_REJECTED: Final = "refused"


def _unreadable(name: str, spoil: Callable[[Ticket], bytes]) -> Fault:
    @fault(name, short=Size(300), full=Size(5000))
    def unreadable(rig: Rig, size: Size) -> None:
        rig.start()
        for start in range(0, size.tickets, 100):
            (spoilt,) = rig.tickets(1, first=10**6 + start)
            rig.expected.expect_dead(Lane.LIVE, rig.inbox.put(Lane.LIVE, [spoil(spoilt)]))
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
    assert rig.workers.running == [worker], "one poison ticket stopped the worker"


@fault("one text that makes the model raise, in an idle system", short=Size(10), full=Size(10))
def raises_alone(rig: Rig, size: Size) -> None:
    """The poison ticket is alone, so every micro-batch fails. This does not mean that the device is broken."""
    worker = rig.start()
    rig.publish(size.tickets - 1)
    rig.drain()
    _poison(rig, 10**6, RAISES)
    rig.drain()
    rig.publish(1)
    rig.drain()
    assert rig.workers.running == [worker], "one poison ticket stopped the worker"


@fault("texts that kill the process", short=Size(300, times=1), full=Size(3000, times=5))
def kills(rig: Rig, size: Size) -> None:
    """After each crash a new worker starts, as with Kubernetes."""
    _among_others(rig, size, KILLS)
    worker = rig.start()

    def drained() -> bool:
        nonlocal worker
        if worker.exit_status is not None:
            rig.expected.kills += 1
            assert rig.expected.kills <= _MAX_CRASHES * size.times, (
                f"{rig.expected.kills} crashes: no entry was quarantined"
            )
            worker = rig.start()
        return rig.waiting() == 0

    until(drained, seconds=120)


@fault("out of memory above 16 texts", short=Size(400), full=Size(5000))
def out_of_memory(rig: Rig, size: Size) -> None:
    """No text is at fault: smaller batches fit."""
    rig.publish(size.tickets)
    worker = rig.start(FAULT_TEXTS_IN_MEMORY=16)
    rig.drain()
    assert rig.workers.running == [worker]


@fault("a broken device", short=Size(400), full=Size(5000))
def broken_device(rig: Rig, size: Size) -> None:
    """Everything fails, including the self-check: the worker exits, and no ticket becomes a dead letter."""
    rig.publish(size.tickets)
    status = rig.workers.wait_for_exit(rig.start(FAULT_BREAKS_AFTER_CALLS=rig.random.randint(3, 8)))
    assert status != 0, "a worker with a broken device exited with 0"
    assert not rig.dead(), "tickets were dead-lettered because of a broken device"
    rig.start()
    rig.recovers()
    rig.drain()


@fault("a device that fails 5 % of its calls", short=Size(400), full=Size(5000))
def flaky_device(rig: Rig, size: Size) -> None:
    """No text causes the failures, and the worker goes on. In micro-batches of one, each failure hits one text."""
    rig.publish(size.tickets)
    worker = _on_flaky_device(rig, 0.05)
    rig.drain()
    assert rig.workers.running == [worker]


@fault("a device that fails 30 % of its calls", short=Size(400), full=Size(5000))
def sick_device(rig: Rig, size: Size) -> None:
    """The worker reports the device and stops; no ticket becomes a dead letter."""
    rig.publish(size.tickets)
    worker = _on_flaky_device(rig, 0.3)
    assert rig.workers.wait_for_exit(worker) == 1
    assert "check the device" in worker.log.read_text(encoding="utf-8")
    rig.start()
    rig.recovers()
    rig.drain()


def _on_flaky_device(rig: Rig, share: float) -> WorkerProcess:
    return rig.start(TRIAGEM_BATCH_SIZE=1, FAULT_FAILING_SHARE=share, FAULT_SEED=rig.random.randrange(10**6))


@fault("rows that Postgres refuses", short=Size(400, times=2), full=Size(5000, times=25))
def refused_rows(rig: Rig, size: Size) -> None:
    refuse = (
        f"IF NEW.external_id LIKE '{_REJECTED}%' THEN RAISE EXCEPTION 'injected' USING ERRCODE = '23514'; END IF;"
    )
    with trigger(rig.database, refuse, "BEFORE INSERT ON tickets FOR EACH ROW"):
        for number in range(size.times):
            rig.publish(size.tickets // size.times)
            _poison(rig, number, external_id=f"{_REJECTED}-{number}")
        worker = rig.start()
        rig.drain()
    assert rig.workers.running == [worker], "one rejected row stopped the worker"


def _among_others(rig: Rig, size: Size, word: str) -> None:
    for number in range(size.times):
        rig.publish(size.tickets // size.times)
        _poison(rig, 10**6 + number, word)


def _poison(rig: Rig, number: int, word: str = "", **changes: str) -> None:
    """Enqueue a ticket that must become a dead letter, because of a word in its text or of its fields."""
    (ticket,) = rig.tickets(1, first=number, **({"text": f"please {word} now"} if word else {}), **changes)
    accepted = rig.publisher.put([ticket])
    rig.expected.accept([ticket])
    rig.expected.expect_dead(Lane.LIVE, [receipt.entry_id for receipt in accepted], [ticket])
