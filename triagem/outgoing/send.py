"""Send one request: to the very address that was judged, in bounded time, without following anybody anywhere.

A name is resolved once, here, and what it resolved to is judged and connected to: between a check and a connection
of somebody else's making, a name may change what it means. TLS still verifies the certificate against the name.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import httpcore2

from triagem.contracts.errors import InvalidInput
from triagem.outgoing.hosts import check_address, check_url
from triagem.outgoing.request import Again, GiveUp, Request, Verdict
from triagem.outgoing.verdict import judge

Resolve = Callable[[str, int], Sequence[str]]

_LARGEST_ANSWER: Final = 1_000_000


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, in the system's order. Raises OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise socket.gaierror("no name that can be resolved") from None
    return [str(address[0]) for *_, address in found]


_tls: Final = cache(httpcore2.default_ssl_context)


class Sender:
    """Sends requests to allowed hosts. It holds no connection, so threads may share it.

    Args:
        allowed: `allowed_hosts` of the CRM file.
        timeout_s: for a whole request, from the connection on, however slowly the answer comes. The system's
            resolver has limits of its own.
    """

    def __init__(
        self,
        allowed: Sequence[str],
        *,
        timeout_s: float = 10.0,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed, self._timeout_s, self._resolve = tuple(allowed), timeout_s, resolve
        self._tls = tls or _tls()

    def send(self, request: Request) -> Verdict:
        """Send it once. Raises nothing: whatever goes wrong is a verdict."""
        try:
            check_url(request.url, self._allowed, "the address")
            return self._exchange(request)
        except InvalidInput as error:
            return GiveUp(str(error))
        except (OSError, httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
            cause = error.__cause__ or error.__context__
            distrusted = isinstance(cause, ssl.SSLCertVerificationError)
            return Again("the certificate is not trusted" if distrusted else type(error).__name__)

    def _exchange(self, request: Request) -> Verdict:
        url = httpcore2.URL(request.url)
        network = _Judged(self._allowed, self._resolve, time.monotonic() + self._timeout_s)
        with (
            closing(
                httpcore2.HTTPConnection(url.origin, ssl_context=self._tls, network_backend=network)
            ) as connection,
            connection.stream(
                request.method, url, headers=list(request.headers.items()), content=request.body
            ) as answer,
        ):
            told = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
            wanted = request.method == "GET" and answer.status < 300
            return judge(answer.status, told, datetime.now(UTC), _read(answer) if wanted else b"")


def _read(answer: httpcore2.Response) -> bytes:
    body = b""
    for chunk in answer.iter_stream():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            raise InvalidInput(f"the answer is larger than {_LARGEST_ANSWER:,} bytes")
    return body


class _Judged(httpcore2.NetworkBackend):
    """Connects to addresses that it has judged itself, until a deadline."""

    def __init__(self, allowed: Sequence[str], resolve: Resolve, deadline: float) -> None:
        self._allowed, self._resolve, self._deadline = allowed, resolve, deadline
        self._network = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline counts
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        addresses = self._resolve(host.strip("[]"), port)
        for address in addresses:
            check_address(address, self._allowed, "the address")
        failure: Exception = httpcore2.ConnectError("no address")
        for address in addresses:
            try:
                stream = self._network.connect_tcp(address, port, _left(self._deadline))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return _Bounded(stream, self._deadline)
        raise failure


class _Bounded(httpcore2.NetworkStream):
    """A connection with one deadline for all that passes on it: a byte now and then does not keep it open."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _Bounded(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout
    return left
