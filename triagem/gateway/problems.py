"""Errors as `application/problem+json` (RFC 9457): what happened and what to do, never what a customer wrote."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from triagem.contracts.errors import (
    DatabaseAway,
    InboxAway,
    InboxFull,
    InvalidInput,
    InvalidTicket,
    NoModel,
    RowRefused,
    TriagemError,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = "5"


class Problem(BaseModel):
    """The body of every error."""

    title: str = Field(examples=["Too Many Requests"])
    status: int = Field(examples=[429])
    detail: str = Field(examples=["the live lane is full: try again later"])


class Refused(Exception):
    """An endpoint refuses a request with this status."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Mapping[str, str] | None = None,
        *,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """`more` are members of the problem beside the usual three."""
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, dict(headers or {}), dict(more or {})


_STATUS: Final[dict[type[TriagemError], HTTPStatus]] = {
    InvalidTicket: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    InboxFull: HTTPStatus.TOO_MANY_REQUESTS,
    InboxAway: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseAway: HTTPStatus.SERVICE_UNAVAILABLE,
    NoModel: HTTPStatus.SERVICE_UNAVAILABLE,
    RowRefused: HTTPStatus.UNPROCESSABLE_ENTITY,  # here every value comes from the request
}


def answers(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: the problems it may answer with, so that OpenAPI says so."""
    return {
        int(status): {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
        for status in statuses
    }


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, more: Mapping[str, Any] | None = None
) -> JSONResponse:
    """One error as a response."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse({**body.model_dump(), **(more or {})}, status, dict(headers or {}), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every error leave as a problem."""

    @app.exception_handler(Refused)
    async def _refused(_: Request, error: Refused) -> JSONResponse:
        return problem(error.status, error.detail, error.headers, error.more)

    @app.exception_handler(TriagemError)
    async def _ours(_: Request, error: TriagemError) -> JSONResponse:
        status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), None)
        if status is None:
            log.error("request failed", error=type(error).__name__, why=str(error))
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something is wrong on our side: see the gateway's log")
        retry = {"Retry-After": RETRY_AFTER_S} if error.retryable else {}
        return problem(status, str(error), retry)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # Where and why, never what: FastAPI's own answer repeats the input.
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), error.headers)
