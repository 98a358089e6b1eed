"""`GET /v1/results`: results by filters, a page of JSON or everything as CSV or JSON lines, in constant memory."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from itertools import chain
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, Field, TypeAdapter

from triagem.contracts.prediction import Band
from triagem.contracts.result import Page, Result
from triagem.contracts.spreadsheet import cell
from triagem.db.keys import Scope
from triagem.db.queries import Filters, pages
from triagem.gateway.guard import requires
from triagem.gateway.problems import answers
from triagem.gateway.room import InRoom

router = APIRouter(tags=["results"])

_A_PAGE: Final = 50
_ROW: Final = TypeAdapter(Result)
_COLUMNS: Final = [field.name for field in fields(Result)]


class Format(StrEnum):
    """How results are written."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


_MEDIA_TYPES: Final = {
    Format.JSON: "application/json",
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv",
}


def _storable(text: str) -> str:
    return text.replace("\0", "\ufffd")  # as intake does: so it finds what was stored


def _utc(moment: datetime) -> datetime:
    """As on the command line: without an offset it is UTC."""
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar") from None


_Text = Annotated[str, Field(max_length=255), AfterValidator(_storable)]
_Moment = Annotated[datetime, AfterValidator(_utc)]


def _filters(
    *,
    label: Annotated[_Text | None, Query(description="the effective label", examples=["suporte"])] = None,
    band: Annotated[Band | None, Query(description="what is to be done with it")] = None,
    source: Annotated[_Text | None, Query(description="the CRM's name", examples=["zendesk"])] = None,
    model: Annotated[_Text | None, Query(description="the model version", examples=["v1.0.0"])] = None,
    since: Annotated[
        _Moment | None, Query(description="received at or after; UTC without an offset", examples=["2026-11-02"])
    ] = None,
    until: Annotated[_Moment | None, Query(description="received before")] = None,
) -> Filters:
    return Filters(label, band, source, model, since, until)


@router.get(
    "/v1/results",
    summary="Results, newest first",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "A page as JSON, or everything as JSON lines or CSV",
            "model": Page,
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}},
                "text/csv": {"schema": {"type": "string"}},
            },
        },
        **answers(
            HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    dependencies=[Depends(requires(Scope.READ))],
)  # fmt: skip
def results(
    room: InRoom,
    filters: Annotated[Filters, Depends(_filters)],
    form: Annotated[Format, Query(alias="format", description="JSON has the cursor of the next page")] = Format.JSON,
    limit: Annotated[int | None, Query(ge=1, description="most rows: of JSON 50, of the others all")] = None,
    after: Annotated[str | None, Query(description="the next page: the former page's `after`")] = None,
) -> StreamingResponse:
    """Labels are effective ones: a person's verdict, else the model's. Texts are not in it.

    However many rows there are, the gateway holds a thousand of them. A body that is cut off has no end: JSON lacks
    its last bracket, JSON lines and CSV break the connection.
    """
    if limit is None and form is Format.JSON:
        limit = _A_PAGE
    read = pages(room.database, filters, limit=limit, after=after)
    read = chain([next(read)], read)  # what goes wrong at once is still told as a problem
    headers = {"Content-Disposition": 'attachment; filename="results.csv"'} if form is Format.CSV else {}
    return StreamingResponse(_WRITE[form](read), media_type=_MEDIA_TYPES[form], headers=headers)


def _json(read: Iterable[Page]) -> Iterator[bytes]:
    yield b'{"rows":['
    after, between = None, b""
    for page in read:
        after = page.after
        if page.rows:
            yield between + b",".join(map(_ROW.dump_json, page.rows))
            between = b","
    yield b'],"after":' + json.dumps(after).encode() + b"}"


def _ndjson(read: Iterable[Page]) -> Iterator[bytes]:
    for page in read:
        yield b"".join(_ROW.dump_json(row) + b"\n" for row in page.rows)


def _csv(read: Iterable[Page]) -> Iterator[bytes]:
    yield _lines([_COLUMNS])
    for page in read:
        yield _lines([cell(getattr(row, name)) for name in _COLUMNS] for row in page.rows)


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue().encode()


_WRITE: Final = {Format.JSON: _json, Format.NDJSON: _ndjson, Format.CSV: _csv}
