"""`/console/tickets`: tickets by filters, newest first, a page at a time; the address holds it all."""

from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from triagem.contracts.prediction import Band
from triagem.contracts.text import clean
from triagem.db.desk import openings
from triagem.db.queries import Filters, results
from triagem.gateway.console.choices import known_labels
from triagem.gateway.console.render import page
from triagem.gateway.console.session import Reader
from triagem.gateway.room import InRoom

_A_PAGE: Final = 50
_WITHIN: Final = 10_000  # a page in 0.2 s, also where no ticket fits; who wants to look further back goes on

router = APIRouter()

_Text = Annotated[str, Query(max_length=255)]


@router.get("/tickets")
def tickets(
    request: Request,
    room: InRoom,
    who: Reader,
    *,
    words: _Text = "",
    label: _Text = "",
    band: _Text = "",
    source: _Text = "",
    model: _Text = "",
    since: _Text = "",
    until: _Text = "",
    after: _Text = "",
) -> Response:
    """What a filter does not understand is as if it were not there."""
    filters = Filters(
        label or None,
        band if band in set(Band) else None,
        source or None,
        model or None,
        _day(since),
        _day(until),
    )
    asked_for = words.strip() or None
    found = results(
        room.database,
        filters,
        limit=_A_PAGE,
        after=after or None,
        words=asked_for,
        within=_WITHIN,
    )
    days = {"since": filters.since and filters.since.date(), "until": filters.until and filters.until.date()}
    asked = {"words": asked_for, **asdict(filters), **days}
    begun = openings(room.database, [row.ticket_id for row in found.rows], chars=1000)
    return page(
        request,
        "tickets.html",
        who,
        rows=found.rows,
        openings={one: clean(said)[:160] for one, said in begun.items()},
        asked=asked,
        after=found.after,
        first=not after,
        labels=known_labels(room),
        bands=list(Band),
    )


def _day(given: str) -> datetime | None:
    try:
        day = date.fromisoformat(given)
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
