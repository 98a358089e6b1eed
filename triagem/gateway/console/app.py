"""The console as a separate application under `/console`: errors are HTML pages, and OpenAPI excludes it."""

import re
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from triagem.contracts.errors import TriagemError
from triagem.gateway.authentication import Authenticator
from triagem.gateway.console import (
    login,
    models,
    operations,
    overview,
    preflight,
    review,
    start,
    ticket,
    tickets,
)
from triagem.gateway.console.error_messages import error_message_key
from triagem.gateway.console.messages import MESSAGES, Lang, translate
from triagem.gateway.console.overview import ThroughputMeter
from triagem.gateway.console.render import STATIC, address, language, redirect, render_page
from triagem.gateway.console.session import FormRefused, LoginNeeded, page_of_form
from triagem.gateway.console.upload_advice import browser_advice
from triagem.gateway.problems import RETRY_AFTER_S, describe_invalid, status_of
from triagem.gateway.services import Services

log = structlog.get_logger(__name__)

# The names of query parameters in the forms, as messages.
_FIELDS: Final = {"q": "search", "model": "version", "reviewed": "review"} | {
    name: name for name in ("source", "label", "band", "language", "since", "until")
}


class _CachedStaticFiles(StaticFiles):
    """Static files that browsers cache forever: their URLs change with their content."""

    def file_response(self, *arguments: object, **options: object) -> Response:
        response = super().file_response(*arguments, **options)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def create_console(services: Services, authenticator: Authenticator) -> FastAPI:
    """The console with the gateway's services."""
    console = FastAPI(openapi_url=None, redirect_slashes=False)
    console.state.services = services
    console.state.authenticator = authenticator
    console.state.throughput_meter = ThroughputMeter(services.inbox)
    for page in (login, overview, tickets, ticket, review, start, preflight, models, operations):
        console.include_router(page.router)
    console.mount("/static", _CachedStaticFiles(directory=STATIC))
    _install_error_handlers(console)
    return console


def _install_error_handlers(console: FastAPI) -> None:
    @console.exception_handler(LoginNeeded)
    async def _login(request: Request, _: LoginNeeded) -> Response:
        if request.method == "GET":
            return redirect(address("login", next=_target(request)))
        if request.url.path == "/console/logout":
            return redirect(address("login"))
        return redirect(address("login", next=page_of_form(request), message="session_ended"))

    @console.exception_handler(FormRefused)
    async def _form(request: Request, _: FormRefused) -> Response:
        return _error_page(request, HTTPStatus.FORBIDDEN, message_key="form_expired")

    @console.exception_handler(HTTPException)
    async def _refused(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        if error.detail in MESSAGES:
            return _error_page(request, status, message_key=error.detail)
        return _error_page(request, status, "" if error.detail == status.phrase else error.detail)

    @console.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        place, _, reason = describe_invalid(error).partition(": ")
        lang, name = language(request), place.removeprefix("query.")
        shown = translate(lang, _FIELDS[name]) if name in _FIELDS else translate(lang, "parameter", name=name)
        return _error_page(request, HTTPStatus.UNPROCESSABLE_ENTITY, reason, place=f"{shown}: ")

    @console.exception_handler(TriagemError)
    async def _ours(request: Request, error: TriagemError) -> Response:
        status = status_of(error)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("page_failed", error=type(error).__name__, reason=str(error))
        # The page's message names the store.
        detail = re.sub(r"^\w+ does not answer(?: or is busy)? \((.+)\)$", r"\1", browser_advice(str(error)))
        return _error_page(request, status, detail, error_message_key(error))

    @console.exception_handler(Exception)  # else plain text; RequestMiddleware still logs the error
    async def _unexpected(request: Request, _: Exception) -> Response:
        return _error_page(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def too_many_requests(scope: Scope) -> Response:
    """The page that refuses a request before it reaches the console."""
    return _error_page(Request(scope), HTTPStatus.TOO_MANY_REQUESTS)


def _target(request: Request) -> str:
    """The requested path and query."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _error_page(
    request: Request, status: HTTPStatus, detail: str = "", message_key: str | None = None, *, place: str = ""
) -> Response:
    keys = (f"error_{status:d}_{request.method.lower()}", f"error_{status:d}", "error")
    message_key = message_key or next(key for key in keys if key in MESSAGES)
    if status != HTTPStatus.UNPROCESSABLE_ENTITY and language(request) is Lang.PT:
        detail = ""  # the message says what to do; only what is wrong with the input is shown too
    visitor = getattr(request.state, "visitor", None)
    response = render_page(
        request, "error.html", visitor, status=status, message_key=message_key, place=place, detail=detail,
        is_temporary=status >= HTTPStatus.TOO_MANY_REQUESTS,
        target=_target(request) if request.method == "GET" else "/console/",
    )  # fmt: skip
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response
