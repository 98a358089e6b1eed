"""Limits on request bodies: size, duration, and total size of the bodies being received."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triagem.gateway.problems import RETRY_AFTER_S, problem_response

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
