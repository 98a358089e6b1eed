"""Limits requests: how many a client may start and have open, and how large and how slow each body may be.

Every route checks the request's credentials and then reads the body through this layer. A large body of a client
without valid credentials counts against a small budget, which all clients without credentials share.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triagem.gateway.connections import client_network
from triagem.gateway.problems import RETRY_AFTER_S, problem_response
from triagem.gateway.services import GatewaySettings, ServicesDep

SMALL_BODY: Final = 65_536  # always admitted: on all connections together they need little memory
_LARGEST_HELD: Final = 4  # number of bodies of the largest size in memory at once
_MIN_BYTES_PER_S: Final = 65_536
_REQUESTS_PER_S: Final = 200  # per client without credentials
_BURST_S: Final = 0.25  # a client may send the requests of this time span at once
_MAX_CLIENTS: Final = 10_000


class Pace:
    """Delays the requests of a client that makes too many, so that it cannot take all the time of the event loop."""

    def __init__(self) -> None:
        self._free_at: dict[str, float] = {}  # by client: the time from which it may send again without a delay

    def delay(self, client: str, now: float) -> float:
        """Count a request; return the seconds that it must wait."""
        if len(self._free_at) >= _MAX_CLIENTS:
            self._free_at = {name: free_at for name, free_at in self._free_at.items() if free_at > now}
        self._free_at[client] = max(self._free_at.get(client, 0.0), now) + 1 / _REQUESTS_PER_S
        return max(0.0, self._free_at[client] - now - _BURST_S)

    def refund(self, client: str) -> None:
        """Uncount a request whose sender proved to be authenticated: other limits apply to it."""
        if client in self._free_at:
            self._free_at[client] -= 1 / _REQUESTS_PER_S


class BodyBudget:
    """Limits the bytes of large bodies in memory: `total` for all owners together, half of it for one owner."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._held = Counter[str]()

    def take(self, owner: str, size: int) -> bool:
        """Count more bytes; return False if they exceed a limit. Call `release` in either case."""
        self._held[owner] += size
        return self._held[owner] <= self._total // 2 and self._held.total() <= self._total

    def release(self, owner: str, size: int) -> None:
        """Uncount bytes that are no longer in memory."""
        self._held[owner] -= size
        if not self._held[owner]:
            del self._held[owner]


class RequestBody:
    """The body of one request while it arrives. `budgets`: of authenticated requests, and of all others."""

    def __init__(
        self,
        receive: Receive,
        client: str,
        budgets: tuple[BodyBudget, BodyBudget],
        *,
        limit: int,
        declared: int,
        timeout_s: float,
    ) -> None:
        self._receive, self._declared, self._timeout_s = receive, declared, timeout_s
        (self._authenticated, self._budget), self._owner, self._limit = budgets, client, limit
        self._received = self._held = 0
        self._deadline: float | None = None
        self._complete = False
        self._content: bytes | None = None

    def authenticate(self, owner: str) -> None:
        """Move the body to the budget of authenticated requests, after the sender's credentials were checked."""
        self._release()
        self._owner, self._budget = owner, self._authenticated

    async def read(self, limit: int) -> bytes:
        """Read the whole body. Raises HTTPException: 408, 413 or 503."""
        if self._content is None:
            self._limit, chunks = limit, list[bytes]()
            while not self._complete:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunks.append(message.get("body", b""))
            self._content = b"".join(chunks)
        return self._content

    async def receive(self) -> Message:
        """ASGI's `receive` callable, which enforces the limits."""
        if self._complete:  # after the body, the server sends only the disconnect
            return await self._receive()
        if self._declared > self._limit:
            raise self._too_large()
        clock = asyncio.get_running_loop().time
        if self._deadline is None:
            self._deadline = clock() + self._timeout_s
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time") from None
        self._complete = not message.get("more_body", False)
        size = len(message.get("body", b""))
        self._received += size
        # A client may pause for the whole timeout once. Each byte extends the deadline only a little.
        self._deadline = min(self._deadline + size / _MIN_BYTES_PER_S, clock() + self._timeout_s)
        if self._received > self._limit:
            raise self._too_large()
        if self._received > SMALL_BODY:
            self._hold()
        return message

    def close(self) -> None:
        """Free the bytes once the request is answered: a reference cycle with uvicorn's objects would keep them."""
        self._release()
        self._content = None

    def _release(self) -> None:
        if self._held:
            self._budget.release(self._owner, self._held)
            self._held = 0

    def _hold(self) -> None:
        more, self._held = self._received - self._held, self._received
        if not self._budget.take(self._owner, more):
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many large request bodies at once: try again later",
                {"Retry-After": RETRY_AFTER_S},
            )

    def _too_large(self) -> HTTPException:
        return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self._limit:,} bytes")


class AdmissionMiddleware:
    """Counts and paces the requests of each client. `state["body"]` is a request's RequestBody, or None.

    `console_refusal` makes the page that refuses a request of a console page.
    """

    def __init__(self, app: ASGIApp, settings: GatewaySettings, console_refusal: Callable[[Scope], ASGIApp]) -> None:
        self._app, self._settings, self._console_refusal = app, settings, console_refusal
        self._open = Counter[str]()
        self._pace = Pace()
        self._limit = min(SMALL_BODY, settings.max_body_bytes)
        largest = settings.max_body_bytes
        self._budgets = BodyBudget(largest * _LARGEST_HELD), BodyBudget(largest)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = client_network(scope["client"][0]) if scope.get("client") else ""
        if self._open[client] >= self._settings.max_connections_per_client:
            await self._refusal(scope)(scope, receive, send)
            return
        self._open[client] += 1
        body = self._body(scope, receive, client)
        scope.setdefault("state", {}).update(body=body, refund=partial(self._pace.refund, client))
        try:
            if delay := self._pace.delay(client, time.monotonic()):
                await asyncio.sleep(delay)
            await self._app(scope, body.receive if body else receive, send)
        finally:
            if body:
                body.close()
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]

    def _refusal(self, scope: Scope) -> ASGIApp:
        if scope["path"].startswith("/console/"):
            return self._console_refusal(scope)
        return problem_response(
            HTTPStatus.TOO_MANY_REQUESTS, "too many open requests of this client", {"Retry-After": RETRY_AFTER_S}
        )

    def _body(self, scope: Scope, receive: Receive, client: str) -> RequestBody | None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        declared = int(length) if length.isdecimal() else 0
        if not declared and "transfer-encoding" not in headers:
            return None
        return RequestBody(
            receive, client, self._budgets, limit=self._limit, declared=declared,
            timeout_s=self._settings.receive_timeout_s,
        )  # fmt: skip


def authenticate_sender(request: Request, owner: str) -> None:
    """Mark the request's sender as authenticated."""
    if refund := request.scope["state"].pop("refund", None):
        refund()
    body: RequestBody | None = request.scope["state"]["body"]
    if body:
        body.authenticate(owner)


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body of up to `limit` bytes. Check the credentials first. Raises HTTPException."""
    body: RequestBody | None = request.scope["state"]["body"]
    return await body.read(limit) if body else b""


async def _large_body(request: Request, services: ServicesDep) -> bytes:
    return await read_body(request, services.settings.max_body_bytes)


# The body of a route that takes many rows. A route declares it after the credentials: FastAPI resolves in order.
LargeBody = Annotated[bytes, Depends(_large_body)]
