"""`GET /v1/changes`: tickets whose current result changed, one JSON page or everything until now as JSON lines."""

from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from triagem.contracts.result import Change, ChangePage
from triagem.db.auth import Scope
from triagem.db.tickets.changes import change_pages
from triagem.gateway.authentication import require_scope
from triagem.gateway.problems import problem_responses
from triagem.gateway.row_stream import RowFormat, stream_rows
from triagem.gateway.services import ServicesDep

router = APIRouter(tags=["results"])

_PAGE_SIZE: Final = 50


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
        **problem_responses(
            HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    dependencies=[Depends(require_scope(Scope.READ))],
)  # fmt: skip
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
