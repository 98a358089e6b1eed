"""The application: its routers, its errors, and what wraps every request."""

import re
import uuid
from functools import partial
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.ticket import PREDICT
from db.queries import named
from gateway import health, predict, problems, results, known
from gateway.answers import Answers
from gateway.guard import Guard
from gateway.problems import problem
from gateway.room import Room

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(room: Room) -> FastAPI:
    """The application on these servers. Nothing is connected before the first request."""
    app = FastAPI(
        title="Triagem",
        summary="Customer messages in; support or sales, and how sure, out.",
        docs_url="/docs",
        redoc_url=None,
    )
    app.state.room = room
    app.state.guard = Guard(room)
    app.state.answers = Answers(partial(named, room.database, PREDICT))
    problems.install(app)
    app.include_router(known.router)
    app.include_router(results.router)
    app.include_router(predict.router)
    app.include_router(health.router)
    app.add_middleware(BodyLimit, limit=room.settings.max_body_bytes)
    app.add_middleware(RequestId)
    return app


class BodyLimit:
    """Refuses a body over the limit with 413, whether its length was told or not."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        refusal = problem(413, f"the body is larger than {self._limit:,} bytes")
        if told.isdigit() and int(told) > self._limit:
            await refusal(scope, receive, send)
            return
        seen, started = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except _TooLarge:
            if not started:
                await refusal(scope, receive, send)


class _TooLarge(Exception):
    """The body grew over the limit while it was read."""


class RequestId:
    """Gives every request an id, the caller's own if it is a plain one; logs and the answer carry it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, tagged)
