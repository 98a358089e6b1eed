"""What wraps every request: an id, one log line without anybody's words, an answer whatever happens inside."""

import re
import time
import uuid
from http import HTTPStatus
from typing import Final

import h11
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triagem.gateway import metrics
from triagem.gateway.problems import problem

log = structlog.get_logger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLIENT_GONE: Final = 499  # nginx' number for it; nobody is there to be told


class Requests:
    """Gives every request an id, the caller's own if it is a plain one; the log, the answer and the entry carry it.

    The log has a route's template, never its path, its query or a body: these hold names, tokens and texts.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status, began = 0, time.perf_counter()

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            try:
                await send(message)
            except h11.LocalProtocolError:  # uvicorn has refused a broken body meanwhile, and answered itself
                raise ClientDisconnect from None

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, tagged)
            except ClientDisconnect:
                status = _CLIENT_GONE
            except Exception:
                log.exception("request failed")
                if not status:
                    await problem(
                        HTTPStatus.INTERNAL_SERVER_ERROR, "something is wrong on our side: see the gateway's log"
                    )(scope, receive, tagged)
            finally:
                spent, route = time.perf_counter() - began, _template(scope)
                metrics.answered(
                    route=route,
                    method=scope["method"],
                    status=int(status),
                    seconds=spent,
                    tickets=state.get("rows", 0),
                )
                log.info(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=int(status),
                    ms=round(spent * 1000, 1),
                    **({"rows": state["rows"]} if "rows" in state else {}),
                )


def _template(scope: Scope) -> str | None:
    path = getattr(scope.get("route"), "path", None)
    return None if path is None else scope.get("root_path", "") + path
