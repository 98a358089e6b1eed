"""The gateway as a process: uvicorn in this process, until SIGTERM, which finishes what is on its way."""

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any, Final

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from contracts.errors import InvalidInput
from gateway.app import create_app
from gateway.room import Room
from gateway.settings import is_loopback

log = structlog.get_logger(__name__)

HEAD_S: Final = 10.0
_MOST_CONNECTIONS: Final = 500  # under the usual limit of 1,024 open files, with room for those to Redis and Postgres


def serve(room: Room, on_start: Callable[[str], None] = lambda _: None) -> None:
    """Answer until SIGINT or SIGTERM, then for as long as the grace lasts. `on_start` hears the address.

    Raises:
        InvalidInput: nobody can listen there.
    """
    host, port = room.settings.host, room.settings.port
    listening = _listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
    if not is_loopback(host):
        log.warning("keys and texts travel unencrypted to this address: put a proxy that speaks TLS in front of it")
    # uvicorn raises the signal once more when it has finished; then it has done its work.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: None)
    config = uvicorn.Config(
        create_app(room),
        http=Punctual,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=room.settings.grace_s,
    )
    on_start(address)
    log.info("gateway listens", address=address)
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        raise InvalidInput(
            f"nobody can listen on {host}, port {port} ({error.strerror}): end what has it, or choose another with "
            "--port or TRIAGEM_GATEWAY_PORT"
        ) from None


class Punctual(H11Protocol):
    """Closes a connection on which the head of a request does not come in time; uvicorn waits for ever."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_S, self.transport.close)

    def _forget(self, *_: Any) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
