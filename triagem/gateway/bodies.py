"""Bodies: how large, how slow, and how many at a time before somebody else has to wait."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triagem.gateway.problems import RETRY_AFTER_S, problem

_AT_A_TIME: Final = 4  # of the largest bodies, all requests together: what is being received stays in bounded memory


class BodyLimit:
    """Refuses a body over the limit (413), whether its length was told or not; one that takes too long (408); and
    any while too much is being received already (503)."""

    def __init__(self, app: ASGIApp, limit: int, patience_s: float) -> None:
        self._app, self._limit, self._patience_s = app, limit, patience_s
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if told.isdigit() and int(told) > self._limit:
            await problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)(scope, receive, send)
            return
        seen, complete = 0, False
        deadline = asyncio.get_running_loop().time() + self._patience_s

        async def bounded() -> Message:
            nonlocal seen, complete
            if complete:  # what comes now is that the client went away, whenever that is
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time") from None
            complete = not message.get("more_body", False)
            size = len(message.get("body", b""))
            seen += size
            self._held += size
            if seen > self._limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            if self._held > self._limit * _AT_A_TIME:
                raise HTTPException(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "too many large bodies at a time: try again later",
                    {"Retry-After": RETRY_AFTER_S},
                )
            return message

        try:
            await self._app(scope, bounded, send)
        finally:
            self._held -= seen

    @property
    def _too_large(self) -> str:
        return f"the body is larger than {self._limit:,} bytes"


async def _body(request: Request) -> bytes:
    return await request.body()


RawBody = Annotated[bytes, Depends(_body)]
"""The body as it came, for an endpoint that runs in a thread. Declare it after the dependency that checks the key."""
