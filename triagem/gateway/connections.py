"""Limits connections below HTTP: their number per client and in total, and the time to send a head or read an answer.

uvicorn has none of these limits: its `limit_concurrency` counts all clients together and answers in plain text.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, ClassVar, Final, NoReturn

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from triagem.gateway import metrics
from triagem.gateway.problems import RETRY_AFTER_S, problem_response
from triagem.gateway.services import GatewaySettings

_MAX_HEAD: Final = 16_384  # bytes; a head that begins right after another request may have twice as many
_MAX_HEADERS: Final = 100
_MAX_PIPELINED: Final = 100  # requests of a connection that wait for an earlier one's answer
_FREE_CHUNKS: Final = 100
_MIN_CHUNK_BYTES: Final = 64  # on average, after the first _FREE_CHUNKS chunks
_MAX_REFUSED: Final = 500  # refused connections kept open to answer them; further ones are reset
_DISCARD_S: Final = 0.05  # pause after each 256 KiB of a refused body, or of what follows malformed input
_REFUSED_S: Final = 1.0  # pause before and after a refusal: slows down clients that reconnect at once


@lru_cache(maxsize=4096)
def client_network(address: str) -> str:
    """The client behind an address: the IPv4 address, or the IPv6 /64, because one machine can use a whole /64."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))


class ConnectionLimits:
    """Counts the open connections of one event loop. A trusted proxy is exempt from the limit per client."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings, self.refused, self._clients = settings, 0, Counter[str]()
        self._trusted = [ip_network(proxy) for proxy in settings.trusted_proxies.split()]

    def open(self, client: str) -> HTTPStatus | None:
        """Count a new connection and return None, or return the status with which to refuse it."""
        if self._clients.total() >= self.settings.max_connections:
            return HTTPStatus.SERVICE_UNAVAILABLE
        if self._clients[client] >= self.settings.max_connections_per_client and not self._is_proxy(client):
            return HTTPStatus.TOO_MANY_REQUESTS
        self._clients[client] += 1
        return None

    def close(self, client: str) -> None:
        """Uncount a closed connection."""
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    def _is_proxy(self, client: str) -> bool:
        try:
            return any(ip_address(client) in network for network in self._trusted)
        except ValueError:
            return False


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with these limits. Relies on `cycle`: the newest request whose head was read."""

    limits: ClassVar[ConnectionLimits]

    cycle: RequestResponseCycle | None  # type: ignore[assignment]  # uvicorn: None before the first request
    _client: str | None = None  # None: the connection was refused and is not counted
    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None
    _discard_timer: asyncio.TimerHandle | None = None
    _unparsed = 0  # bytes since the end of a head, a part of a body, or a message
    _chunks = _body_bytes = 0
    _fault: str | None = None  # why the rest of the input is discarded

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = transport.get_extra_info("peername")
        client = client_network(peer[0]) if peer else ""
        refusal = self.limits.open(client)
        if refusal is not None:
            self._refuse(transport, refusal)
            return
        self._client = client
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # call pause_writing as soon as bytes wait
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        if self._client is None:
            return
        for start in range(0, len(data), _MAX_HEAD):
            if self._fault or self.transport.is_closing():
                break
            piece = data[start : start + _MAX_HEAD]
            self._unparsed += len(piece)
            self._unset_keepalive_if_required()
            try:
                self._parse(piece)
            except HttpParserError:
                self.send_400_response("malformed HTTP request")
            if self._unparsed > _MAX_HEAD:  # a head, a chunk's head or a trailer that does not end
                self.send_400_response("the request's head is too large")
        if self.transport.is_closing():
            return
        self._watch_head()
        if self._fault or (self.cycle is not None and self.cycle.response_complete):
            self._discard_slowly()

    def _parse(self, data: bytes) -> None:
        """Parse the next bytes. Ignores an offered upgrade, as HTTP allows: Java's client offers h2c by default.

        httptools takes the body of such a request for the other protocol. So the request is parsed again without the
        header `Upgrade`.
        """
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            lines = [b"%b %b HTTP/1.1" % (self.parser.get_method(), self.url)]
            lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = HttpRequestParser(self)
            self.parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n" + data[offer.args[0] :])

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _MAX_PIPELINED:
            self._fail("too many requests before the first one was answered")
        super().on_message_begin()
        self._chunks = self._body_bytes = 0

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        if len(self.headers) > _MAX_HEADERS:
            self._fail("too many headers")
        if self.parser.get_http_version() == "1.1" and sum(name == b"host" for name, _ in self.headers) != 1:
            self._fail("exactly one Host header is required")
        if self.parser.get_method() == b"CONNECT":
            self._fail("CONNECT is not supported")
        if self.parser.should_upgrade():
            return  # see _parse
        super().on_headers_complete()
        self.headers = []  # trailers must not become headers of a request that is being handled

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        self._chunks += 1
        self._body_bytes += len(body)
        if self._body_bytes < (self._chunks - _FREE_CHUNKS) * _MIN_CHUNK_BYTES:
            self._fail("the body's chunks are too small")
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _fail(self, fault: str) -> NoReturn:
        self._fault = fault
        raise HttpParserError(fault)

    def _discard_slowly(self) -> None:
        """Read on after a pause. Unread bytes would reset the connection when it is closed, and lose the answer."""
        self.flow.pause_reading()
        if self._discard_timer is None:
            self._discard_timer = self.loop.call_later(_DISCARD_S, self._read_on)

    def _read_on(self) -> None:
        self._discard_timer = None
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._client is None:
            self.limits.refused -= 1
            return
        self.limits.close(self._client)
        for timer in (self._head_timer, self._send_timer, self._discard_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_timer = self.loop.call_later(self.limits.settings.send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """End the connection after malformed or excessive input.

        Complete requests are answered first. An incomplete one gets the answer 400, unless its answer has started.
        """
        self._fault = self._fault or msg
        if self.cycle is not None and not self.cycle.response_complete:
            if not self.cycle.more_body:
                self.cycle.keep_alive = False
                return
            self.cycle.disconnected = True  # the application must not answer a second time
            self.cycle.message_event.set()
        if self.cycle is None or self.cycle.response_complete or not (self.cycle.response_started or self.pipeline):
            self.transport.write(_answer(HTTPStatus.BAD_REQUEST, self._fault))
        self.transport.close()

    def _awaits_head(self) -> bool:
        """Whether the next head is awaited. Also true while the rest of a refused request's body arrives."""
        return self.cycle is None or self.cycle.response_complete

    def _watch_head(self) -> None:
        if not self._awaits_head():
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.limits.settings.receive_timeout_s, self._head_timed_out)

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self._awaits_head():
            if self.cycle is None:
                metrics.REFUSED_CONNECTIONS.labels("timeout").inc()
                self.transport.write(_answer(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time"))
            self.transport.close()

    def _refuse(self, transport: asyncio.Transport, status: HTTPStatus) -> None:
        metrics.REFUSED_CONNECTIONS.labels("client" if status == HTTPStatus.TOO_MANY_REQUESTS else "total").inc()
        self.limits.refused += 1
        if self.limits.refused > _MAX_REFUSED:
            transport.abort()
            return
        transport.pause_reading()
        self.loop.call_later(_REFUSED_S, self._answer_refused, transport, status)

    def _answer_refused(self, transport: asyncio.Transport, status: HTTPStatus) -> None:
        """Answer, and close later: closing at once would reset a connection with unread bytes and lose the answer."""
        if transport.is_closing():
            return
        transport.write(_answer(status, "too many open connections: close some, or try again later"))
        with suppress(OSError):  # the client has gone
            transport.write_eof()
        transport.resume_reading()
        self.loop.call_later(_REFUSED_S, transport.abort)


def limited_protocol(settings: GatewaySettings) -> type[HttpToolsProtocol]:
    """The protocol class for uvicorn, which creates one instance per connection."""
    return type("Protocol", (LimitedProtocol,), {"limits": ConnectionLimits(settings)})


@lru_cache
def _answer(status: HTTPStatus, detail: str) -> bytes:
    retry: dict[str, Any] = {} if status == HTTPStatus.BAD_REQUEST else {"Retry-After": RETRY_AFTER_S}
    response = problem_response(status, detail, {"Connection": "close", **retry})
    head = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, status.phrase.encode(), head, bytes(response.body))
