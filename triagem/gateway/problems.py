"""Error responses as `application/problem+json` (RFC 9457), without any customer text."""

from collections.abc import Mapping
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from triagem.contracts.errors import (
    AccessDenied,
    InboxFull,
    InvalidInput,
    InvalidTicket,
    NoModel,
    NotMigrated,
    Retryable,
    RowRefused,
    TriagemError,
)
from triagem.contracts.field_errors import explain

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = "5"


class Problem(BaseModel):
    """The body of every error response."""

    title: str = Field(examples=["Too Many Requests"])
    status: int = Field(examples=[429])
    detail: str = Field(examples=["the live lane is full: try again later"])


class ProblemError(HTTPException):
    """Ends a request with an error response of this status; `more` holds additional members of the document."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Mapping[str, str] | None = None,
        *,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.more = more


_UNPROCESSABLE: Final = (InvalidTicket, InvalidInput, RowRefused)  # the gateway takes every value from the request
_UNAVAILABLE: Final = (Retryable, NoModel, NotMigrated, AccessDenied)


def status_of(error: TriagemError) -> HTTPStatus:
    """The HTTP status for an error of Triagem."""
    if isinstance(error, _UNPROCESSABLE):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    if isinstance(error, InboxFull):
        return HTTPStatus.TOO_MANY_REQUESTS
    return HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, _UNAVAILABLE) else HTTPStatus.INTERNAL_SERVER_ERROR


NEEDS_KEY: Final = (401, 403, 429, 503)  # the errors of every route that requires an API key


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, for its OpenAPI `responses`."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in sorted(statuses)}


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None, more: Mapping[str, Any] | None = None
) -> JSONResponse:
    """An error response."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse({**body.model_dump(), **(more or {})}, status, dict(headers or {}), MEDIA_TYPE)


def refuse_unknown_parameters(request: Request) -> None:
    """Raise ProblemError (422) for an unknown or repeated query parameter: FastAPI would ignore it silently."""
    if not request.scope["query_string"]:
        return
    known = _query_parameters(request.scope["route"].dependant)
    for name in request.query_params:
        if name not in known:
            shown = repr(name) if name.isidentifier() and len(name) <= 40 else "a parameter"
            near = get_close_matches(name, known, n=1)
            hint = f": did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(known)) or 'none'}"
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"query: {shown} is unknown{hint}")
        if len(request.query_params.getlist(name)) > 1:
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"query: {name!r} is given twice: give one value")


def _query_parameters(dependant: Dependant) -> set[str]:
    """Names of the query parameters of a route and its dependencies."""
    names = {parameter.alias for parameter in dependant.query_params}
    return names.union(*map(_query_parameters, dependant.dependencies))


def _release_frames(error: Exception) -> None:
    """Drop the traceback. Its frames refer to the request's body and to the error: a reference cycle.

    Otherwise the bodies stay until the garbage collector runs: eight clients with bodies of 8 MiB filled 700 MiB.
    """
    error.__traceback__ = error.__context__ = None


def error_response(error: TriagemError | HTTPException) -> JSONResponse:
    """The response to an error."""
    _release_frames(error)
    if isinstance(error, HTTPException):
        detail = error.detail
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (allowed := (error.headers or {}).get("Allow")):
            detail = f"this address takes only {allowed}"
        elif detail == HTTPStatus.NOT_FOUND.phrase:  # Starlette's: no route has this path
            detail = "no such path: /docs lists all"
        return problem_response(error.status_code, detail, error.headers, getattr(error, "more", None))
    status, detail = status_of(error), str(error)
    if isinstance(error, AccessDenied):  # the gateway's wrong password is not the client's error
        log.error("access_denied", reason=detail)
        detail = "a server refuses the gateway's password: see the gateway's log"
    elif status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request_failed", error=type(error).__name__, reason=detail)
        detail = "internal error: see the gateway's log"
    retry = {"Retry-After": RETRY_AFTER_S} if isinstance(error, Retryable | AccessDenied) else {}
    return problem_response(status, detail, retry)


def install_error_handlers(app: FastAPI) -> None:
    """Turn every error into a problem response."""

    @app.exception_handler(TriagemError)
    @app.exception_handler(HTTPException)
    async def _refused(_: Request, error: TriagemError | HTTPException) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, describe_invalid(error))


def describe_invalid(error: RequestValidationError) -> str:
    """The place of a request's first invalid value and the reason. FastAPI's own answer would repeat the value."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {explain(first)}"
