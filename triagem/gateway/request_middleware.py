"""Request middleware: a request id, one log line without personal data, and a response even after an exception."""

import re
import time
import uuid
from http import HTTPStatus
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triagem.gateway import metrics
from triagem.gateway.problems import problem_response

log = structlog.get_logger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PRIVATE: Final = (  # responses have personal data: no caching, no guessing of types
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
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
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status, started = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.get("headers", ())
                names = {name for name, _ in headers}
                added = [(b"x-request-id", request_id.encode()), *_PRIVATE]
                message["headers"] = [*headers, *(header for header in added if header[0] not in names)]
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)  # uvicorn runs each request in its own context
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
            metrics.record_request(route, scope["method"], int(status), elapsed)
            metrics.TICKETS.inc(state.get("rows", 0))
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
