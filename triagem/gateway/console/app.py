"""The console as an application of its own under `/console`: its errors are pages, OpenAPI knows nothing of it."""

from http import HTTPStatus
from urllib.parse import urlencode

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from triagem.contracts.errors import InvalidInput, NoModel, Retryable, TriagemError
from triagem.gateway.console import login, models, operations, overview, review, ticket, tickets
from triagem.gateway.console.pace import Pace
from triagem.gateway.console.render import STATIC, go_to, page
from triagem.gateway.console.session import FormRefused, LoginNeeded
from triagem.gateway.guard import Guard
from triagem.gateway.problems import Refused
from triagem.gateway.room import Room

log = structlog.get_logger(__name__)


class _Kept(StaticFiles):
    """Their addresses change with their content."""

    def file_response(self, *arguments: object, **options: object) -> Response:
        answer = super().file_response(*arguments, **options)  # type: ignore[arg-type]
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer


def create_console(room: Room, guard: Guard) -> FastAPI:
    """The pages, on the gateway's servers."""
    console = FastAPI(openapi_url=None)
    console.state.room = room
    console.state.guard = guard
    console.state.pace = Pace(room.inbox)
    # One line a page.
    console.include_router(login.router)
    console.include_router(overview.router)
    console.include_router(tickets.router)
    console.include_router(ticket.router)
    console.include_router(review.router)
    console.include_router(models.router)
    console.include_router(operations.router)
    console.mount("/static", _Kept(directory=STATIC))
    _install(console)
    return console


def _install(console: FastAPI) -> None:
    @console.exception_handler(LoginNeeded)
    async def _login(request: Request, _: LoginNeeded) -> Response:
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return go_to("/console/login?" + urlencode({"next": asked} if request.method == "GET" else {}))

    @console.exception_handler(FormRefused)
    async def _form(request: Request, _: FormRefused) -> Response:
        return _error(request, HTTPStatus.FORBIDDEN, "form_expired")

    @console.exception_handler(Refused)
    async def _refused(request: Request, error: Refused) -> Response:
        return _error(request, error.status, f"error_{error.status:d}", error.detail)

    @console.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return _error(request, HTTPStatus(error.status_code), f"error_{error.status_code}", str(error.detail))

    @console.exception_handler(RequestValidationError)
    async def _invalid(request: Request, _: RequestValidationError) -> Response:
        return _error(request, HTTPStatus.NOT_FOUND, "error_404")

    @console.exception_handler(TriagemError)
    async def _ours(request: Request, error: TriagemError) -> Response:
        if isinstance(error, InvalidInput):
            return _error(request, HTTPStatus.UNPROCESSABLE_ENTITY, "error", str(error))
        if isinstance(error, Retryable | NoModel):
            return _error(request, HTTPStatus.SERVICE_UNAVAILABLE, "error_503", str(error))
        log.error("page failed", error=type(error).__name__, why=str(error))
        return _error(request, HTTPStatus.INTERNAL_SERVER_ERROR, "error_500", str(error))


def _error(request: Request, status: HTTPStatus, saying: str, detail: str = "") -> Response:
    known = {"error", "error_403", "error_404", "error_503", "error_500", "form_expired"}
    saying = saying if saying in known else "error"
    return page(request, "error.html", status=status, saying=saying, detail=detail)
