"""`/console/tickets`: filtered tickets, newest first, in pages. All state is in the URL."""

import codecs
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from triagem.contracts.errors import InvalidInput
from triagem.contracts.prediction import Band
from triagem.contracts.result import Result, ResultPage
from triagem.contracts.text import clean
from triagem.contracts.ticket import Identity
from triagem.db.labels import COLOURS, list_labels
from triagem.db.reviews.labelling import labelling_state
from triagem.db.tickets.queries import Filters, list_results, stored_tickets, text_previews
from triagem.db.tickets.review_state import ReviewState
from triagem.gateway.console.messages import Lang
from triagem.gateway.console.render import language, page_zone, render_page
from triagem.gateway.console.session import Reader
from triagem.gateway.results import FilterText, stream_rows
from triagem.gateway.services import Services, ServicesDep


def label_context(services: Services) -> dict[str, Any]:
    """Values for templates: known `labels`; `details` of all labels, by label; the number of each label's colour."""
    labels = services.known_labels()
    details = {label.label: label for label in list_labels(services.database)}
    colors = {label: number % len(COLOURS) for number, label in enumerate(labels)}
    colors |= {label: COLOURS.index(stored.colour) for label, stored in details.items() if stored.colour}
    return {"labels": labels, "details": details, "colors": colors}


def crm_link(services: Services, ticket: Identity, metadata: Mapping[str, Any] | None = None) -> str | None:
    """The URL of the ticket's page in the CRM, from its metadata or else TRIAGEM_CRM_FILE; None if neither has it."""
    url = str((metadata or {}).get("url", ""))
    if url.startswith(("https://", "http://")):
        return url
    source = services.crm.sources.get(ticket.source)
    return source.link(ticket.external_id) if source else None


Choice = TypeVar("Choice", bound=StrEnum)

_PAGE_SIZE: Final = 50
_CSV_PAGE_SIZE: Final = 1000
_DAY_FORMS: Final = (("%Y-%m-%d", r"\d{4}-\d\d-\d\d"), ("%d/%m/%Y", r"\d\d/\d\d/\d{4}"))
_SCAN_LIMIT: Final = 10_000  # tickets searched per page, in under 0.2 s; "Older" continues from there

router = APIRouter()


def _filters(
    request: Request,
    visitor: Reader,
    *,
    reviewed: FilterText = "",
    label: FilterText = "",
    band: FilterText = "",
    source: FilterText = "",
    model: FilterText = "",
    language: FilterText = "",
    since: FilterText = "",
    until: FilterText = "",
) -> Filters:
    """Raises InvalidInput for a filter that is not a date, a band or a state of reviews."""
    return Filters(
        label or None,
        choice("Band", band, Band),
        source.strip() or None,
        model.strip() or None,
        _day("From", since, request),
        _day("Before", until, request),
        language.strip().lower() or None,
        choice("Review", reviewed, ReviewState),
        visitor.name,
    )


_TicketFilters = Annotated[Filters, Depends(_filters)]


@router.get("/tickets")
def tickets(
    request: Request,
    services: ServicesDep,
    visitor: Reader,
    *,
    filters: _TicketFilters,
    q: FilterText = "",
    after: FilterText = "",
) -> Response:
    """Show the page."""
    search_text = q.strip() or None
    page = list_results(
        services.database,
        filters,
        limit=_PAGE_SIZE,
        after=after or None,
        search=search_text,
        scan_limit=_SCAN_LIMIT,
    )
    days = {"since": filters.since and filters.since.date(), "until": filters.until and filters.until.date()}
    form_values = {"q": search_text, **asdict(filters), "reviewer": None, **days}
    modelless = not page.rows and services.current_version() is None
    unlabelled = stored_tickets(services.database, search_text, limit=_PAGE_SIZE) if modelless and search_text else []
    ids = [row.ticket_id for row in page.rows or unlabelled]
    previews = text_previews(services.database, ids, chars=1000)
    return render_page(
        request,
        "tickets.html",
        visitor,
        rows=page.rows,
        stored=labelling_state(services.database).texts if modelless else 0,
        unlabelled=unlabelled,
        previews={ticket_id: clean(text)[:160] for ticket_id, text in previews.items()},
        filters=form_values,
        after=page.after,
        first=not after,
        **label_context(services),
        bands=list(Band),
        review_states=list(ReviewState),
    )


@router.get("/tickets.csv")
def download(services: ServicesDep, filters: _TicketFilters, q: FilterText = "") -> Response:
    """All results that the page lists, without texts. The byte order mark is for Excel."""

    def pages() -> Iterator[ResultPage]:
        after: str | None = None
        while True:
            page = list_results(
                services.database,
                filters,
                limit=_CSV_PAGE_SIZE,
                after=after,
                search=q.strip() or None,
                scan_limit=_SCAN_LIMIT,
            )
            yield page
            if (after := page.after) is None:
                return

    return stream_rows(pages(), Result, "csv", "tickets", mark=codecs.BOM_UTF8)


def _day(field: str, value: str, request: Request) -> datetime | None:
    """The start of a day in the zone of the pages. Only a reader of Portuguese may write the day first."""
    for form, shape in _DAY_FORMS[: 1 + (language(request) is Lang.PT)]:
        with suppress(ValueError):
            return datetime.strptime(value, form).replace(tzinfo=page_zone())
        if re.fullmatch(shape, value):
            raise InvalidInput(f"{field} {value!r}: this day is not in the calendar")
    if value:
        raise InvalidInput(f"{field} {value[:40]!r}: expected a date like 2026-11-02")
    return None


def choice(field: str, value: str, choices: type[Choice]) -> Choice | None:
    """The choice in a page's URL or form, None if it is empty. Raises InvalidInput for a value that is not one."""
    if value and value not in set(choices):
        raise InvalidInput(f"{field} {value[:40]!r}: expected one of {', '.join(choices)}")
    return choices(value) if value else None
