"""The gateway from Python, with and without asyncio: `pip install 'triagem[client]'`.

Both wait out what passes (a full inbox, a gateway that restarts) and hand in each batch once, however often it was
sent. They differ in nothing but the waiting.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Self, TypedDict, Unpack

import httpx2

from triagem.contracts.errors import InvalidTicket
from triagem.contracts.result import Answer, Known, Result
from triagem.contracts.ticket import Lane, Ticket
from triagem.producer import exchange
from triagem.producer.exchange import Lost, Pause, Receipt, Reply, Request, T, Talk

__all__ = ["AsyncClient", "Client", "Filters", "Receipt"]

_TRIES: Final = 6  # waits of half a minute in all, where the gateway names none


class Filters(TypedDict, total=False):
    """Which results; times are of receipt, `since` inclusive, `until` exclusive."""

    label: str
    band: str
    source: str
    model: str
    since: datetime
    until: datetime


class Client:
    """Speaks to a gateway.

    >>> from triagem.producer.client import Client
    >>> with Client("http://127.0.0.1:8000", "trg_…") as client:        # doctest: +SKIP
    ...     client.enqueue({"source": "shop", "external_id": "4711", "text": "Fui cobrado duas vezes"})
    Receipt(status='accepted', entry_id='1793622600000-0', field=None, reason=None)

    Args:
        key: made by `triagem keys create`; without one only `predict` may answer.
        tries: how often a request is sent before its failure is raised.
        http: a client of your own, for proxies and certificates; it is closed with this one.

    Every method raises GatewayAway, InboxFull (both: try again later), AccessDenied, or InvalidInput.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        tries: int = _TRIES,
        http: httpx2.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = http or httpx2.Client(timeout=30.0)
        _point(self._http, url, key)
        self._tries, self._sleep = tries, sleep

    def enqueue(self, ticket: Ticket | Mapping[str, Any], *, lane: Lane = Lane.LIVE) -> Receipt:
        """Hand in one ticket. Raises InvalidTicket too, naming the field."""
        return _accepted(next(self.enqueue_many([ticket], lane=lane)))

    def enqueue_many(
        self, tickets: Iterable[Ticket | Mapping[str, Any]], *, lane: Lane = Lane.LIVE
    ) -> Iterator[Receipt]:
        """Hand in many, up to 1,000 a request as their receipts are taken; a bad one never sinks the rest."""
        for batch in exchange.batches(tickets):
            yield from self._run(exchange.put(batch, lane, self._tries))

    def ticket(self, source: str, external_id: str) -> Known | None:
        """All that is known of a ticket, or None: unknown, not classified yet, or forgotten."""
        return self._run(exchange.ticket(source, external_id, self._tries))

    def results(self, **filters: Unpack[Filters]) -> Iterator[Result]:
        """All results, newest first, a page at a time."""
        after = None
        while True:
            page = self._run(exchange.page(filters, after, self._tries))
            yield from page.rows
            after = page.after
            if after is None:
                return

    def predict(self, text: str, *, wait_s: float = 30.0) -> Answer:
        """A text's class, and how sure the model is. Raises GatewayAway when it takes longer than `wait_s`."""
        return self._run(exchange.predict(text, wait_s, self._tries))

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, talk: Talk[T]) -> T:
        heard: Reply | Lost | None = None
        while True:
            try:
                step = talk.send(heard)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            heard = None
            if isinstance(step, Pause):
                self._sleep(step.seconds)
                continue
            try:
                heard = _heard(self._http.send(_made(self._http, step)))
            except httpx2.TransportError as error:
                heard = Lost(type(error).__name__)


class AsyncClient:
    """As `Client`, for asyncio."""

    def __init__(
        self, url: str, key: str | None = None, *, tries: int = _TRIES, http: httpx2.AsyncClient | None = None
    ) -> None:
        self._http = http or httpx2.AsyncClient(timeout=30.0)
        _point(self._http, url, key)
        self._tries = tries

    async def enqueue(self, ticket: Ticket | Mapping[str, Any], *, lane: Lane = Lane.LIVE) -> Receipt:
        """As `Client.enqueue`."""
        return _accepted(await anext(self.enqueue_many([ticket], lane=lane)))

    async def enqueue_many(
        self, tickets: Iterable[Ticket | Mapping[str, Any]], *, lane: Lane = Lane.LIVE
    ) -> AsyncIterator[Receipt]:
        """As `Client.enqueue_many`."""
        for batch in exchange.batches(tickets):
            for receipt in await self._run(exchange.put(batch, lane, self._tries)):
                yield receipt

    async def ticket(self, source: str, external_id: str) -> Known | None:
        """As `Client.ticket`."""
        return await self._run(exchange.ticket(source, external_id, self._tries))

    async def results(self, **filters: Unpack[Filters]) -> AsyncIterator[Result]:
        """As `Client.results`."""
        after = None
        while True:
            page = await self._run(exchange.page(filters, after, self._tries))
            for row in page.rows:
                yield row
            after = page.after
            if after is None:
                return

    async def predict(self, text: str, *, wait_s: float = 30.0) -> Answer:
        """As `Client.predict`."""
        return await self._run(exchange.predict(text, wait_s, self._tries))

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, talk: Talk[T]) -> T:
        heard: Reply | Lost | None = None
        while True:
            try:
                step = talk.send(heard)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            heard = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                continue
            try:
                heard = _heard(await self._http.send(_made(self._http, step)))
            except httpx2.TransportError as error:
                heard = Lost(type(error).__name__)


def _point(http: httpx2.Client | httpx2.AsyncClient, url: str, key: str | None) -> None:
    http.base_url = httpx2.URL(url)
    if key:
        http.headers["Authorization"] = f"Bearer {key}"


def _made(http: httpx2.Client | httpx2.AsyncClient, request: Request) -> httpx2.Request:
    return http.build_request(
        request.method, request.path, params=request.params, content=request.body, headers=request.headers
    )


def _heard(answer: httpx2.Response) -> Reply:
    return Reply(answer.status_code, answer.headers, answer.content)


def _accepted(receipt: Receipt) -> Receipt:
    if receipt.status == "rejected":
        raise InvalidTicket(receipt.field or "", receipt.reason or "was rejected")
    return receipt
