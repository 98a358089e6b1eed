"""Python clients of the HTTP API, with and without asyncio: `pip install 'triagem[client]'`.

Both retry temporary failures (a full inbox, a gateway that restarts) and publish each batch once, however often it
was sent. `triagem.producer.client_protocol` holds what they share; they differ only in how they wait.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime
from typing import Final, TypedDict, Unpack

from pydantic import JsonValue

try:
    import httpx2
except ModuleNotFoundError as error:
    raise ImportError("the client needs httpx2: pip install 'triagem[client]'") from error

from triagem.contracts.errors import InvalidInput, InvalidTicket
from triagem.contracts.result import Change, PredictResponse, Result, TicketDetail
from triagem.contracts.ticket import Lane, Message, Ticket
from triagem.producer import client_protocol
from triagem.producer.client_protocol import (
    ApiRequest,
    Exchange,
    Pause,
    Receipt,
    T,
    TicketFields,
    Unsent,
)

__all__ = ["AsyncClient", "Client", "Receipt", "ResultFilters"]

_TRIES: Final = 6  # about 30 s of waiting in all, unless the gateway sets the times


class ResultFilters(TypedDict, total=False):
    """Filters of `results`. Times are those of receipt: `since` is inclusive, `until` exclusive."""

    label: str
    band: str
    source: str
    model: str
    since: datetime
    until: datetime
    language: str


class Client(AbstractContextManager["Client", None]):
    """Client of the gateway's HTTP API. It publishes as `triagem.Publisher` does, and reads results.

    >>> from triagem import Client
    >>> with Client("http://127.0.0.1:8000", "trg_…") as client:        # doctest: +SKIP
    ...     client.publish(source="shop", external_id="4711", text="Fui cobrado duas vezes")
    Receipt(status='accepted', entry_id='1793622600000-0', field=None, reason=None)

    Args:
        key: created by `triagem keys create`; without one, only `predict` may be allowed.
        tries: how often a request is sent before its error is raised.
        http: your own HTTP client, for proxies and certificates; it is closed with this one.

    Every method raises GatewayUnavailable, InboxFull (both: try again later), AccessDenied, or InvalidInput.
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
        _configure(self._http, url, key)
        self._tries, self._sleep = tries, sleep

    def publish(
        self,
        *,
        source: str,
        external_id: str,
        text: str,
        revised_at: datetime | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        message: Message | None = None,
        lane: Lane = Lane.LIVE,
    ) -> Receipt:
        """Publish one ticket, with the parameters of `Publisher.publish`. Also raises InvalidTicket."""
        ticket = TicketFields(
            source=source,
            external_id=external_id,
            text=text,
            revised_at=revised_at,
            metadata=metadata,
            message=message,
        )
        return _accepted(next(self.publish_many([ticket], lane=lane)))

    def publish_many(self, tickets: Iterable[Ticket | TicketFields], *, lane: Lane = Lane.LIVE) -> Iterator[Receipt]:
        """Publish any number of tickets; yields one receipt per ticket, in their order.

        Sends up to 1,000 tickets per request as the receipts are consumed: iterate to the end to publish all. An
        invalid ticket does not affect the others.
        """
        return self._publish_many(tickets, lane, Unsent())

    def _publish_many(
        self, tickets: Iterable[Ticket | TicketFields], lane: Lane, unsent: Unsent
    ) -> Iterator[Receipt]:
        unsent.is_sent = True
        for batch in client_protocol.batches(tickets):
            yield from self._run(client_protocol.put(batch, lane, self._tries))

    def ticket(self, source: str, external_id: str) -> TicketDetail | None:
        """A ticket with its result and history, or None: unknown or forgotten. Without a result, see `state`."""
        return self._run(client_protocol.ticket(source, external_id, self._tries))

    def results(self, **filters: Unpack[ResultFilters]) -> Iterator[Result]:
        """All results, newest first, fetched page by page."""
        after = None
        while True:
            page = self._run(client_protocol.page(filters, after, self._tries))
            yield from page.rows
            after = page.after
            if after is None:
                return

    def changes(self, after: str | None = None, *, poll_s: float | None = None) -> Iterator[Change]:
        """Tickets whose current result changed, oldest change first, fetched page by page.

        Args:
            after: the `cursor` of the last change that you processed. By default the feed starts with all tickets.
            poll_s: at the end of the feed, poll for further changes at this interval, forever. By default the
                iterator ends when there are no further changes.
        """
        while True:
            page = self._run(client_protocol.changes(after, self._tries))
            yield from page.rows
            after = page.after
            if not page.rows:
                if poll_s is None:
                    return
                self._sleep(poll_s)

    def predict(self, text: str, *, wait_s: float = 30.0) -> PredictResponse:
        """The class of a text and its confidence. Raises GatewayUnavailable when it takes longer than `wait_s`."""
        return self._run(client_protocol.predict(text, wait_s, self._tries))

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, exchange: Exchange[T]) -> T:
        reply: httpx2.Response | httpx2.TransportError | None = None
        while True:
            try:
                step = exchange.send(reply)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            reply = None
            if isinstance(step, Pause):
                self._sleep(step.seconds)
                continue
            try:
                reply = self._http.send(_request(self._http, step))
            except httpx2.TransportError as error:
                reply = error


class AsyncClient(AbstractAsyncContextManager["AsyncClient", None]):
    """Asyncio version of `Client`."""

    def __init__(
        self, url: str, key: str | None = None, *, tries: int = _TRIES, http: httpx2.AsyncClient | None = None
    ) -> None:
        self._http = http or httpx2.AsyncClient(timeout=30.0)
        _configure(self._http, url, key)
        self._tries = tries

    async def publish(
        self,
        *,
        source: str,
        external_id: str,
        text: str,
        revised_at: datetime | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        message: Message | None = None,
        lane: Lane = Lane.LIVE,
    ) -> Receipt:
        """As `Client.publish`."""
        ticket = TicketFields(
            source=source,
            external_id=external_id,
            text=text,
            revised_at=revised_at,
            metadata=metadata,
            message=message,
        )
        return _accepted(await anext(self.publish_many([ticket], lane=lane)))

    def publish_many(
        self, tickets: Iterable[Ticket | TicketFields], *, lane: Lane = Lane.LIVE
    ) -> AsyncIterator[Receipt]:
        """As `Client.publish_many`."""
        return self._publish_many(tickets, lane, Unsent())

    async def _publish_many(
        self, tickets: Iterable[Ticket | TicketFields], lane: Lane, unsent: Unsent
    ) -> AsyncIterator[Receipt]:
        unsent.is_sent = True
        for batch in client_protocol.batches(tickets):
            for receipt in await self._run(client_protocol.put(batch, lane, self._tries)):
                yield receipt

    async def ticket(self, source: str, external_id: str) -> TicketDetail | None:
        """As `Client.ticket`."""
        return await self._run(client_protocol.ticket(source, external_id, self._tries))

    async def results(self, **filters: Unpack[ResultFilters]) -> AsyncIterator[Result]:
        """As `Client.results`."""
        after = None
        while True:
            page = await self._run(client_protocol.page(filters, after, self._tries))
            for row in page.rows:
                yield row
            after = page.after
            if after is None:
                return

    async def changes(self, after: str | None = None, *, poll_s: float | None = None) -> AsyncIterator[Change]:
        """As `Client.changes`."""
        while True:
            page = await self._run(client_protocol.changes(after, self._tries))
            for change in page.rows:
                yield change
            after = page.after
            if not page.rows:
                if poll_s is None:
                    return
                await asyncio.sleep(poll_s)

    async def predict(self, text: str, *, wait_s: float = 30.0) -> PredictResponse:
        """As `Client.predict`."""
        return await self._run(client_protocol.predict(text, wait_s, self._tries))

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, exchange: Exchange[T]) -> T:
        reply: httpx2.Response | httpx2.TransportError | None = None
        while True:
            try:
                step = exchange.send(reply)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            reply = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                continue
            try:
                reply = await self._http.send(_request(self._http, step))
            except httpx2.TransportError as error:
                reply = error


def _configure(http: httpx2.Client | httpx2.AsyncClient, url: str, key: str | None) -> None:
    http.base_url = httpx2.URL(url)
    if http.base_url.scheme not in {"http", "https"}:
        raise InvalidInput("the gateway's URL must begin with http:// or https://")
    if key:
        http.headers["Authorization"] = f"Bearer {key}"


def _request(http: httpx2.Client | httpx2.AsyncClient, request: ApiRequest) -> httpx2.Request:
    return http.build_request(
        request.method, request.path, params=request.params, content=request.body, headers=request.headers
    )


def _accepted(receipt: Receipt) -> Receipt:
    if receipt.status == "rejected":
        raise InvalidTicket(receipt.field or "", receipt.reason or "was rejected")
    return receipt
