"""`GET /v1/results` and `GET /v1/changes`: one JSON page, or everything as JSON lines or CSV, in constant memory."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BeforeValidator, Field

from triagem.contracts.moments import MomentFormat, read_moment
from triagem.contracts.prediction import Band
from triagem.contracts.result import Change, ChangePage, Result, ResultPage
from triagem.db.auth import Scope
from triagem.db.tickets.changes import change_pages
from triagem.db.tickets.queries import Filters, result_pages
from triagem.gateway.authentication import require_scope
from triagem.gateway.problems import NEEDS_KEY, problem_responses
from triagem.gateway.row_stream import RowFormat, stream_rows
from triagem.gateway.services import ServicesDep

router = APIRouter(tags=["results"])

_PAGE_SIZE: Final = 50


# Same replacement as at intake, so that a filter matches stored values.
FilterText = Annotated[str, Field(max_length=255), AfterValidator(lambda text: text.replace("\0", "\ufffd"))]
# A time without an offset is in UTC, as on the command line. A number such as 2026 is not a time.
_Moment = Annotated[datetime, BeforeValidator(partial(read_moment, format=MomentFormat(UTC)))]


def _filters(
    *,
    label: Annotated[FilterText | None, Query(description="the effective label", examples=["suporte"])] = None,
    band: Annotated[Band | None, Query(description="how the prediction may be used")] = None,
    source: Annotated[FilterText | None, Query(description="the CRM's name", examples=["zendesk"])] = None,
    model: Annotated[FilterText | None, Query(description="the model version", examples=["v1.0.0"])] = None,
    since: Annotated[
        _Moment | None,
        Query(description="received at or after this time; UTC if it has no offset", examples=["2026-11-02"]),
    ] = None,
    until: Annotated[_Moment | None, Query(description="received before this time")] = None,
    language: Annotated[
        FilterText | None, Query(description="the text's language; `und` where it does not show", examples=["pt"])
    ] = None,
) -> Filters:
    return Filters(label, band, source, model, since, until, language)


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
    result_format: Annotated[RowFormat, Query(alias="format", description="only JSON is paged")] = RowFormat.JSON,
    limit: Annotated[
        int | None, Query(ge=1, description="maximum number of rows; default: 50 for JSON, else all")
    ] = None,
    after: Annotated[str | None, Query(description="cursor: `after` of the previous page")] = None,
) -> StreamingResponse:
    """Labels are effective labels: the reviewer's if there is one, else the model's. Texts are not included.

    The gateway holds at most 1,000 rows in memory. A truncated body is recognizable: JSON lacks its last bracket, and
    for JSON lines and CSV the connection breaks.
    """
    if limit is None and result_format is RowFormat.JSON:
        limit = _PAGE_SIZE
    pages = result_pages(services.database, filters, limit=limit, after=after)
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
        Literal[RowFormat.JSON, RowFormat.NDJSON], Query(alias="format", description="only JSON is paged")
    ] = RowFormat.JSON,
) -> StreamingResponse:
    """Each changed ticket with its newest result: new and edited texts, runs, promotions, bands and reviews.

    A ticket that changed several times may appear once. `result` is null for a ticket that was forgotten. A page
    without rows means that there are no further changes yet: ask again later with the same cursor.
    """
    if limit is None and row_format is RowFormat.JSON:
        limit = _PAGE_SIZE
    pages = change_pages(services.database, limit=limit, after=after)
    return stream_rows(pages, Change, row_format, "changes")
