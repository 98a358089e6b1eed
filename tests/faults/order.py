"""Faults: tickets out of order, duplicated, or delayed. The newest revision and the newest promotion win."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.faults.catalog import Size, fault
from tests.faults.delayed_worker import delayed_worker
from tests.faults.rig import Rig
from tests.support.delivery import KEY, make_due
from triagem.contracts.errors import InvalidTicket
from triagem.contracts.ticket import Identity, Lane, Ticket
from triagem.contracts.wire import encode
from triagem.db.outbox.deliveries import DeliveryState, sync_result_targets
from triagem.db.tickets.forgetting import delete_related, write_tombstone
from triagem.inbox.stream import stream_key
from triagem.notify.crm import CallbackSettings
from triagem.notify.deliveries import deliver_due
from triagem.notify.request import Delivered, Request, Retry

_SHORT, _FULL = Size(200), Size(4000)


def edited(rig: Rig, tickets: Sequence[Ticket], suffix: str, *, minutes: float) -> list[Ticket]:
    """The same tickets with other texts, revised this many minutes later (or earlier)."""
    return [
        rig.tickets(
            1,
            external_id=ticket.external_id,
            text=f"{ticket.text} {suffix}",
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
    """Of equal revision times, the last text to arrive wins."""
    tickets = rig.tickets(size.tickets)
    both = zip(tickets, edited(rig, tickets, "outra", minutes=0), strict=True)
    rig.publish([ticket for pair in both for ticket in rig.random.sample(pair, 2)])
    rig.start()
    rig.drain()


@fault("one ticket in both lanes at once", short=_SHORT, full=_FULL)
def both_lanes(rig: Rig, size: Size) -> None:
    """An import of old texts runs while customers write new ones."""
    tickets = rig.tickets(size.tickets)
    rig.publish(edited(rig, tickets, "antes", minutes=-60), lane=Lane.BULK)
    rig.publish(tickets)
    rig.start()
    rig.start()
    rig.drain()


@fault("a text edited and edited back", short=_SHORT, full=_FULL)
def edited_back(rig: Rig, size: Size) -> None:
    """Texts A, B, A: the result of the last A comes from the prediction cache, and must be current."""
    rig.start()
    tickets = rig.tickets(size.tickets)
    back = edited(rig, tickets, "", minutes=2)
    for revision in (tickets, edited(rig, tickets, "outra", minutes=1), back):
        rig.publish(revision)
        rig.drain()


@fault("texts edited and edited back while a CRM is down", short=_SHORT, full=_FULL)
def edited_back_while_a_crm_is_down(rig: Rig, size: Size) -> None:
    """Texts A, B, A, then an older text: the CRM gets each current result once, and ends with the current label."""
    sync_result_targets(rig.database, {"crm.callback": "crm"})
    crm = {"crm.callback": CallbackSettings.model_validate({"url": "http://127.0.0.1:1", "secret": KEY})}
    labels: dict[str, str] = {}

    def receive(request: Request) -> Delivered:
        data = json.loads(request.body)["data"]
        labels[data["external_id"]] = data["label"]
        return Delivered()

    rig.start()
    tickets = rig.tickets(size.tickets)
    for revision in (tickets, edited(rig, tickets, "outra", minutes=2), edited(rig, tickets, "", minutes=3)):
        rig.publish(revision)
        rig.drain()
        deliver_due(rig.database, crm, lambda _: Retry("answered 503"))
    rig.publish(edited(rig, tickets, "outra", minutes=1))
    rig.drain()
    make_due(rig.database)
    sent = 0
    while done := deliver_due(rig.database, crm, receive):
        sent += done[DeliveryState.DELIVERED]
    with rig.database.autocommit() as connection:
        rows = connection.execute(text("SELECT external_id, label FROM results"))
        current = {row.external_id: row.label for row in rows}
    assert sent == len(tickets), f"{sent} calls for {len(tickets)} changes"
    assert labels == current, "the CRM has another label"


@fault("two workers with the same tickets in any order", short=_SHORT, full=_FULL)
def overlapping(rig: Rig, size: Size) -> None:
    tickets = rig.tickets(size.tickets)
    revisions = [ticket for minutes in range(5) for ticket in edited(rig, tickets, f"x{minutes}", minutes=-minutes)]
    rig.random.shuffle(revisions)
    rig.publish(revisions[::2])
    rig.publish(revisions[1::2], lane=Lane.BULK)
    rig.start()
    rig.start()
    rig.drain()


@fault("a delayed worker with the previous model, after a promotion", short=_SHORT, full=_FULL)
def after_a_promotion(rig: Rig, size: Size) -> None:
    _delayed_commit(rig, size, previous="v1.0.0", now="v1.1.0")


@fault("a delayed worker with the withdrawn model, after a rollback", short=_SHORT, full=_FULL)
def after_a_rollback(rig: Rig, size: Size) -> None:
    rig.registry.promote("v1.1.0")
    _delayed_commit(rig, size, previous="v1.1.0", now="v1.0.0")


def _delayed_commit(rig: Rig, size: Size, *, previous: str, now: str) -> None:
    """The delayed worker holds a window; the CRM sends the tickets again, and another worker is faster."""
    tickets = rig.publish(size.tickets)
    with delayed_worker(rig) as worker:
        rig.registry.promote(now)
        rig.publish(tickets)
        rig.start()
        rig.until(lambda: rig.stored() == size.tickets)
        worker.release()
        rig.drain()
    rig.expected.current = dict.fromkeys(rig.expected.revisions, now)
    rig.expected.versions = {key: {previous, now} for key in rig.expected.revisions}
    assert previous in rig.versions(), "the delayed worker committed nothing"


@fault("clocks that jump", short=_SHORT, full=_FULL)
def clocks(rig: Rig, size: Size) -> None:
    """A revision far in the future is rejected: otherwise it would outrank all later texts. Redis' clock jumps back
    an hour: later entries still get later ids."""
    ahead = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(InvalidTicket, match="future"):
        rig.publisher.publish(source="crm", external_id="T-0", text="do futuro", revised_at=ahead)
    first, *rest = rig.tickets(size.tickets)
    hour_ahead = f"{int(time.time() * 1000) + 3_600_000}-0"  # an id that Redis assigned before its clock was set back
    rig.inbox.redis.xadd(stream_key(Lane.LIVE), {"t": encode(first)}, id=hour_ahead)
    rig.expected.accept([first])
    rig.publish(rest)
    assert rig.inbox.depth(Lane.LIVE).oldest_s == 0, "a later entry is not queued behind it"
    rig.start()
    rig.drain()


@fault("a forgotten ticket that is delivered again", short=_SHORT, full=_FULL)
def forgotten(rig: Rig, size: Size) -> None:
    """A deleted ticket stays deleted, even if a newer revision arrives."""
    rig.start()
    tickets = rig.publish(size.tickets)
    rig.drain()
    deleted = [ticket.external_id for ticket in tickets[::2]]
    for name in deleted:
        write_tombstone(rig.database, Identity("crm", name))
        delete_related(rig.database, Identity("crm", name))
    rig.publish(tickets)
    rig.publish(edited(rig, tickets, "de novo", minutes=1))
    rig.drain()
    rig.expected.forgotten = {("crm", name) for name in deleted}
    with rig.database.autocommit() as connection:
        kept = connection.execute(text("SELECT count(text) FROM tickets WHERE forgotten_at IS NOT NULL")).scalar_one()
    assert kept == 0, f"{kept} deleted texts were stored again"
