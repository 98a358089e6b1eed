"""Tickets that come in the wrong order, twice, or through a worker that is late: the newest text and the newest
promotion have the last word."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.faults.catalog import Size, fault
from tests.faults.late import late_worker
from tests.faults.rig import Rig
from triagem.contracts.errors import InvalidTicket
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import encode
from triagem.inbox.stream import stream_key

_SHORT, _FULL = Size(200), Size(4000)


def edited(rig: Rig, tickets: Sequence[Ticket], words: str, *, minutes: float) -> list[Ticket]:
    """The same tickets with other texts, written so much later, or earlier."""
    return [
        rig.tickets(
            1,
            external_id=ticket.external_id,
            text=f"{ticket.text} {words}",
            revised_at=ticket.revised_at + timedelta(minutes=minutes),
        )[0]
        for ticket in tickets
    ]


@fault("an older text after the newer one", short=_SHORT, full=_FULL)
def older_after_newer(rig: Rig, size: Size) -> None:
    rig.start()
    tickets = rig.publish(size.tickets)
    rig.drain()
    rig.publish(edited(rig, tickets, "antes", minutes=-60))
    rig.drain()


@fault("two texts of the same moment in one window", short=_SHORT, full=_FULL)
def same_moment(rig: Rig, size: Size) -> None:
    """Which comes first is chance; which stays must not be."""
    tickets = rig.tickets(size.tickets)
    both = zip(tickets, edited(rig, tickets, "outra", minutes=0), strict=True)
    rig.publish([ticket for pair in both for ticket in rig.dice.sample(pair, 2)])
    rig.start()
    rig.drain()


@fault("one ticket in both lanes at once", short=_SHORT, full=_FULL)
def both_lanes(rig: Rig, size: Size) -> None:
    """An import of old texts meets customers who write now."""
    tickets = rig.tickets(size.tickets)
    rig.publish(edited(rig, tickets, "antes", minutes=-60), lane=Lane.BULK)
    rig.publish(tickets)
    rig.start()
    rig.start()
    rig.drain()


@fault("a text edited and edited back", short=_SHORT, full=_FULL)
def edited_back(rig: Rig, size: Size) -> None:
    """A, B, A: the last A is known to the model, and current all the same."""
    rig.start()
    tickets = rig.tickets(size.tickets)
    back = edited(rig, tickets, "", minutes=2)
    for revision in (tickets, edited(rig, tickets, "outra", minutes=1), back):
        rig.publish(revision)
        rig.drain()


@fault("two workers with the same tickets in any order", short=_SHORT, full=_FULL)
def overlapping(rig: Rig, size: Size) -> None:
    tickets = rig.tickets(size.tickets)
    revisions = [one for minutes in range(5) for one in edited(rig, tickets, f"x{minutes}", minutes=-minutes)]
    rig.dice.shuffle(revisions)
    rig.publish(revisions[::2])
    rig.publish(revisions[1::2], lane=Lane.BULK)
    rig.start()
    rig.start()
    rig.drain()


@fault("a late worker with the former model, after a promotion", short=_SHORT, full=_FULL)
def after_a_promotion(rig: Rig, size: Size) -> None:
    _late(rig, size, former="v1.0.0", now="v1.1.0")


@fault("a late worker with the withdrawn model, after a rollback", short=_SHORT, full=_FULL)
def after_a_rollback(rig: Rig, size: Size) -> None:
    rig.registry.promote("v1.1.0")
    _late(rig, size, former="v1.1.0", now="v1.0.0")


def _late(rig: Rig, size: Size, *, former: str, now: str) -> None:
    """It holds a window from before; the CRM hands the same tickets in again, and another worker is first."""
    tickets = rig.publish(size.tickets)
    with late_worker(rig) as late:
        rig.registry.promote(now)
        rig.publish(tickets)
        rig.start()
        rig.until(lambda: rig.stored() == size.tickets)
        late.go_on()
        rig.drain()
    rig.book.current = dict.fromkeys(rig.book.revisions, now)
    rig.book.versions = {who: {former, now} for who in rig.book.revisions}
    assert former in rig.versions(), "the late worker committed nothing"


@fault("clocks that jump", short=_SHORT, full=_FULL)
def clocks(rig: Rig, size: Size) -> None:
    """A CRM's clock far ahead is refused, or it would freeze the ticket. Redis' own jumps back by an hour: what is
    put then still comes after what is there."""
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with pytest.raises(InvalidTicket, match="future"):
        rig.publisher.publish(source="crm", external_id="T-0", text="do futuro", revised_at=ahead)
    first, *rest = rig.tickets(size.tickets)
    hour_ahead = f"{int(time.time() * 1000) + 3_600_000}-0"  # what Redis gave out before its clock was put back
    rig.inbox.redis.xadd(stream_key(Lane.LIVE), {"t": encode(first)}, id=hour_ahead)
    rig.book.accept([first])
    rig.publish(rest)
    assert rig.inbox.depth(Lane.LIVE).oldest_s == 0, "what was put later is not behind it"
    rig.start()
    rig.drain()


@fault("a forgotten ticket that is delivered again", short=_SHORT, full=_FULL)
def forgotten(rig: Rig, size: Size) -> None:
    """What a customer asked us to delete stays deleted, also under a newer text."""
    rig.start()
    tickets = rig.publish(size.tickets)
    rig.drain()
    gone = [ticket.external_id for ticket in tickets[::2]]
    with rig.database.autocommit() as connection:
        forget = "UPDATE tickets SET forgotten_at = now(), text = NULL WHERE external_id = ANY(:gone)"
        connection.execute(text(forget), {"gone": gone})
    rig.publish(tickets)
    rig.publish(edited(rig, tickets, "de novo", minutes=1))
    rig.drain()
    rig.book.forgotten = {("crm", name) for name in gone}
    with rig.database.autocommit() as connection:
        kept = connection.execute(text("SELECT count(text) FROM tickets WHERE forgotten_at IS NOT NULL")).scalar_one()
    assert kept == 0, f"{kept} texts came back"
