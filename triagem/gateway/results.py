"""`GET /v1/results` and `GET /v1/changes`: one JSON page, or everything as JSON lines or CSV, in constant memory."""

import csv
import io
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter

from triagem.contracts.moments import MomentFormat, read_moment
from triagem.contracts.prediction import Band
from triagem.contracts.result import Change, ChangePage, Result, ResultPage
from triagem.contracts.spreadsheet import csv_cell
from triagem.db.auth import Scope
from triagem.db.tickets.changes import change_pages
from triagem.db.tickets.queries import Filters, result_pages
from triagem.gateway.authentication import require_scope
from triagem.gateway.problems import NEEDS_KEY, problem_responses
from triagem.gateway.services import ServicesDep

RowFormat = Literal["json", "ndjson", "csv"]
RowPages = Iterable[ResultPage | ChangePage]

router = APIRouter(tags=["results"])

_PAGE_SIZE: Final = 50
_QUIET_S: Final = 5.0


# Intake replaces NUL characters in the same way: a filter must match the stored values.
FilterText = Annotated[str, Field(max_length=255), AfterValidator(lambda text: text.replace("\0", "\ufffd"))]


def _moment(value: object) -> datetime:
    """A time without an offset is in UTC, as on the command line. A number such as 2026 is not a time."""
    try:
        return read_moment(value, MomentFormat(UTC))
    except ValueError as error:
        advice = "write 2026-11-02 or 2026-11-02T09:30"
        if re.search(r"T[\d:.]+ \d\d:?\d\d$", str(value)):
            advice = "write the + of an offset as %2B in a URL"
        raise ValueError(f"{str(value)[:40]!r} {error}: {advice}") from None


_Moment = Annotated[datetime, BeforeValidator(_moment)]


def _filters(
    *,
    label: Annotated[FilterText | None, Query(description="the effective label", examples=["suporte"])] = None,
    band: Annotated[Band | None, Query(description="whether the prediction may be used without a review")] = None,
    source: Annotated[FilterText | None, Query(description="the CRM's name", examples=["zendesk"])] = None,
    model: Annotated[FilterText | None, Query(description="the model version", examples=["v1.0.0"])] = None,
    since: Annotated[
        _Moment | None,
        Query(description="received at or after this time; UTC if it has no offset", examples=["2026-11-02"]),
    ] = None,
    until: Annotated[_Moment | None, Query(description="received before this time")] = None,
    language: Annotated[
        FilterText | None, Query(description="the text's language; `und` if it is unknown", examples=["pt"])
    ] = None,
) -> Filters:
    return Filters(label, band, source, model, since, until, language and language.lower())


@router.get(
    "/v1/results",
    summary="Results, newest first",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One page as JSON, or all rows as JSON lines or CSV",
            "model": ResultPage,
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}},
                "text/csv": {"schema": {"type": "string"}},
            },
        },
        **problem_responses(*NEEDS_KEY, 422),
    },
    dependencies=[Depends(require_scope(Scope.READ))],
)
def results(
    services: ServicesDep,
    filters: Annotated[Filters, Depends(_filters)],
    result_format: Annotated[RowFormat, Query(alias="format", description="only JSON is paged")] = "json",
    limit: Annotated[
        int | None, Query(ge=1, description="maximum number of rows; default: 50 for JSON, else all")
    ] = None,
    after: Annotated[str | None, Query(description="cursor: `after` of the previous page")] = None,
) -> StreamingResponse:
    """List results without texts. A label is the effective label: the reviewer's if there is one, else the model's.

    If few tickets have the filters' values, a JSON page may be short although `after` is not null: continue there.

    The gateway holds at most 1,000 rows in memory. A client can recognize a truncated body: JSON lacks its last
    bracket, and for JSON lines and CSV the connection breaks.
    """
    if limit is None and result_format == "json":
        limit = _PAGE_SIZE
    pages = result_pages(services.database, filters, limit=limit, after=after)
    if result_format == "json":
        pages = until_quiet(pages)
    return stream_rows(pages, Result, result_format, "results")


@router.get(
    "/v1/changes",
    summary="Changes of results, oldest first",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One page as JSON, or all changes until now as JSON lines",
            "model": ChangePage,
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        },
        **problem_responses(*NEEDS_KEY, 422),
    },
    dependencies=[Depends(require_scope(Scope.READ))],
)
def changes(
    services: ServicesDep,
    after: Annotated[
        str | None, Query(description="the `cursor` of the last change that you processed; default: all tickets")
    ] = None,
    limit: Annotated[
        int | None, Query(ge=1, description="maximum number of changes; default: 50 for JSON, else all")
    ] = None,
    row_format: Annotated[
        Literal["json", "ndjson"], Query(alias="format", description="only JSON is paged")
    ] = "json",
) -> StreamingResponse:
    """List changed tickets with their newest results. New or edited texts, runs, promotions, bands and reviews count.

    A ticket that changed several times may appear once. `result` is null for a ticket that was forgotten. A page
    without rows means that there are no further changes yet: ask again later with the same cursor.
    """
    if limit is None and row_format == "json":
        limit = _PAGE_SIZE
    pages = change_pages(services.database, limit=limit, after=after)
    return stream_rows(pages, Change, row_format, "changes")


def until_quiet(pages: Iterator[ResultPage], *, clock: Callable[[], float] = time.monotonic) -> Iterator[ResultPage]:
    """Pages until `_QUIET_S` seconds have passed without a row: a client waits for the whole body."""
    last_row_at = clock()
    for page in pages:
        yield page
        now = clock()
        if page.rows:
            last_row_at = now
        elif now - last_row_at > _QUIET_S:
            return


def stream_rows(
    pages: Iterator[ResultPage | ChangePage], row_type: type, row_format: RowFormat, name: str, *, mark: bytes = b""
) -> StreamingResponse:
    """Stream all rows after `mark`.

    An error of the first page is raised before the response starts: it can still be a problem.
    """
    media_type, write = FORMATS[row_format]
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'} if row_format == "csv" else {}
    body = chain([mark] if mark else [], write(chain([next(pages)], pages), row_type))
    return StreamingResponse(body, media_type=media_type, headers=headers)


def _json(pages: RowPages, row_type: type) -> Iterator[bytes]:
    dump_json = _adapter(row_type).dump_json
    yield b'{"rows":['
    after, separator = None, b""
    for page in pages:
        after = page.after
        if page.rows:
            yield separator + b",".join(map(dump_json, page.rows))
            separator = b","
    yield b'],"after":' + json.dumps(after).encode() + b"}"


def _ndjson(pages: RowPages, row_type: type) -> Iterator[bytes]:
    dump_json = _adapter(row_type).dump_json
    for page in pages:
        yield b"".join(dump_json(row) + b"\n" for row in page.rows)


def _csv(pages: RowPages, row_type: type) -> Iterator[bytes]:
    columns = [field.name for field in fields(row_type)]
    yield _csv_lines([columns])
    for page in pages:
        yield _csv_lines([csv_cell(getattr(row, name)) for name in columns] for row in page.rows)


def _csv_lines(rows: Iterable[Iterable[object]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    return buffer.getvalue().encode()


@cache
def _adapter(row_type: type) -> TypeAdapter[Any]:
    return TypeAdapter(row_type)


# The media type, and what writes the rows of all pages, instances of a dataclass.
FORMATS: Final[Mapping[RowFormat, tuple[str, Callable[[RowPages, type], Iterator[bytes]]]]] = {
    "json": ("application/json", _json),
    "ndjson": ("application/x-ndjson", _ndjson),
    "csv": ("text/csv", _csv),
}
