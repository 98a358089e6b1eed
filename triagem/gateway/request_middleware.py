"""Request middleware: a request id, one log line without personal data, and a response even after an exception."""

import asyncio
import re
import time
import uuid
from http import HTTPStatus
from typing import Annotated, Final

import h11
import structlog
from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triagem.gateway import metrics
from triagem.gateway.problems import RETRY_AFTER_S, problem_response

log = structlog.get_logger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLIENT_GONE: Final = 499  # nginx's status for a client that disconnected


class RequestMiddleware:
    """Gives every request an id, the caller's if it is valid. The log, the response and the inbox entry carry it.

    The log has the route's template, never the path, query or body: these contain names, tokens and texts.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status, started = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            try:
                await send(message)
            except h11.LocalProtocolError:  # uvicorn already refused a malformed body and answered
                raise ClientDisconnect from None

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except ClientDisconnect:
                status = _CLIENT_GONE
            except Exception:
                log.exception("request_failed")
                if not status:
                    await problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error: see the gateway's log")(
                        scope, receive, send_with_id
                    )
            finally:
                elapsed, route = time.perf_counter() - started, _template(scope)
                metrics.record_request(
                    route=route,
                    method=scope["method"],
                    status=int(status),
                    seconds=elapsed,
                    tickets=state.get("rows", 0),
                )
                log.info(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=int(status),
                    ms=round(elapsed * 1000, 1),
                    **({"rows": state["rows"]} if "rows" in state else {}),
                )


def _template(scope: Scope) -> str | None:
    path = getattr(scope.get("route"), "path", None)
    return None if path is None else scope.get("root_path", "") + path


_MAX_LARGE_BODIES: Final = 4  # bodies of the largest size held at once by all requests: bounds the memory


class BodyLimitMiddleware:
    """Refuses a body that is too large (413), with or without Content-Length; one that arrives too slowly (408); and
    any body while too much is being received already (503)."""

    def __init__(self, app: ASGIApp, limit: int, timeout_s: float) -> None:
        self._app, self._limit, self._patience_s = app, limit, timeout_s
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > self._limit:
            await problem_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)(scope, receive, send)
            return
        received, complete = 0, False
        deadline = asyncio.get_running_loop().time() + self._patience_s

        async def bounded() -> Message:
            nonlocal received, complete
            if complete:  # the next message is the disconnect, whenever it comes
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time") from None
            complete = not message.get("more_body", False)
            size = len(message.get("body", b""))
            received += size
            self._held += size
            if received > self._limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            if self._held > self._limit * _MAX_LARGE_BODIES:
                raise HTTPException(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "too many large request bodies at once: try again later",
                    {"Retry-After": RETRY_AFTER_S},
                )
            return message

        try:
            await self._app(scope, bounded, send)
        finally:
            self._held -= received

    @property
    def _too_large(self) -> str:
        return f"the body is larger than {self._limit:,} bytes"


async def _body(request: Request) -> bytes:
    return await request.body()


RawBody = Annotated[bytes, Depends(_body)]
"""The raw body, for an endpoint that runs in a thread. Declare it after the dependency that checks the key."""
