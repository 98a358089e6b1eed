"""Tells within a short time whether Redis or Postgres answers at a URL, and what to do if it does not."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from triagem import servers
from triagem.contracts.errors import DatabaseUnavailable, InboxUnavailable, NotRetryable, TriagemError

_CONNECT_S: Final = 1.5  # longer than one retransmission of a lost packet
_ANSWER_S: Final = 2.0


class CheckFailed(NotRetryable):
    """A check found a problem: the message says what to do."""


class _Store(NamedTuple):
    """A kind of server: a running one answers the greeting at once, whatever the login, as the pattern says.

    `follow_up`: sent after the greeting to a server that is silent, and answered by another kind.
    """

    name: str
    port: int
    greeting: bytes = b""
    answer: bytes = b""
    follow_up: bytes = b""


_SSL_REQUEST: Final = (8).to_bytes(4) + (80877103).to_bytes(4)
_LONG_LINE: Final = bytes(65536) + b"\r\n"  # Redis waits for the end of a line, and refuses one that is too long
_POSTGRES: Final = _Store("Postgres", 5432, _SSL_REQUEST, rb"[NS]\Z|E\0", _LONG_LINE)
_STORES: Final = {
    "redis": _Store("Redis", 6379, b"PING\r\n", b"[+-]"),
    "rediss": _Store("Redis", 6379),
    "postgres": _POSTGRES,
    "postgresql": _POSTGRES,
}


@contextmanager
def answering(url: str, setting: str) -> Iterator[None]:
    """Fail within a short time if no server answers at a URL, another kind of server, or one that hangs."""
    parts = urlsplit(url)
    store = _STORES.get(parts.scheme.partition("+")[0])
    if store is None or parts.hostname is None:  # not a URL of a store, which the client refuses; a Unix socket
        yield
        return
    address = (parts.hostname, parts.port or store.port)
    _require_answer(store, address, setting)
    try:
        yield
    except (InboxUnavailable, DatabaseUnavailable) as error:
        if "check TRIAGEM_" in str(error):  # it answers
            raise
        raise _hangs(store, address, str(error)) from None


def _require_answer(store: _Store, address: tuple[str, int], setting: str) -> None:
    place = f"{address[0]}:{address[1]}"
    try:
        connection = socket.create_connection(address, timeout=_CONNECT_S)
    except OSError as error:
        reason = f"does not answer within {_CONNECT_S} s" if isinstance(error, TimeoutError) else "does not answer"
        step = servers.local_step(address) or f"start the server, or correct {setting}"
        raise CheckFailed(f"{store.name} at {place} {reason} ({error.strerror or error}): {step}") from None
    with connection:
        if not store.greeting:
            return
        try:
            answer = _first_answer(connection, store)
        except TimeoutError:
            raise _hangs(store, address, f"no answer within {_ANSWER_S:g} s") from None
        except OSError:
            answer = b""
    if not answer:
        raise CheckFailed(
            f"{place} closes connections without an answer: it is not {store.name}, expects TLS, or is a proxy of a "
            f"server that is down; check {setting}"
        )
    if not re.match(store.answer, answer):
        raise CheckFailed(f"what listens at {place} is not {store.name}: correct {setting}")


def _first_answer(connection: socket.socket, store: _Store) -> bytes:
    """The beginning of the answer. Raises OSError."""
    connection.settimeout(_ANSWER_S * 3 / 4)
    connection.sendall(store.greeting)
    with suppress(TimeoutError):
        return connection.recv(64)
    connection.settimeout(_ANSWER_S / 4)
    connection.sendall(store.follow_up)
    return connection.recv(64)


def _hangs(store: _Store, address: tuple[str, int], reason: str) -> CheckFailed:
    step = servers.local_step(address) or "see its log, and restart it if it does not recover"
    return CheckFailed(
        f"{store.name} at {address[0]}:{address[1]} accepts connections, but does not answer ({reason}): it is "
        f"starting, hangs or is overloaded; no ticket is lost; {step}"
    )


def postgres_problem() -> str | None:
    """The reason if Postgres does not answer within a short time; None on a machine that does not use it."""
    try:
        with answering(servers.database_url(), "TRIAGEM_DATABASE_URL"):
            return None
    except CheckFailed as error:
        return str(error)
    except TriagemError:
        return None
