"""The gateway as a process: uvicorn in this process, until SIGTERM, which finishes what is on its way."""

import asyncio
import signal
from typing import Final

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from triagem.gateway.address import is_loopback, listen, url
from triagem.gateway.app import create_app
from triagem.gateway.metrics import expose
from triagem.gateway.room import Room
from triagem.gateway.settings import MetricsSettings

log = structlog.get_logger(__name__)

_MOST_CONNECTIONS: Final = 500  # under the usual limit of 1,024 open files, with room for those to Redis and Postgres


def serve(room: Room, metrics: MetricsSettings) -> None:
    """Answer until SIGINT or SIGTERM, then for as long as the grace lasts.

    Raises:
        InvalidInput: nobody can listen there.
    """
    host, port = room.settings.host, room.settings.port
    listening = listen(host, port)
    if not is_loopback(host):
        log.warning("keys and texts travel unencrypted to this address: put a proxy that speaks TLS in front of it")
    # uvicorn raises the signal once more when it has finished; then it has done its work.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: None)
    config = uvicorn.Config(
        create_app(room),
        http=_punctual(room.settings.patience_s),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=room.settings.grace_s,
    )
    if metrics.port:
        expose(metrics.host, metrics.port)
    log.info("gateway listens", address=url(host, port))
    uvicorn.Server(config).run(sockets=[listening])
    log.info("gateway has ended")


def _punctual(patience_s: float) -> type[H11Protocol]:
    """uvicorn's protocol, but a connection on which the head of a request does not come in time is closed."""

    class Punctual(H11Protocol):
        late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self.forget()

        def watch(self) -> None:
            if self.conn.their_state is not h11.IDLE:
                self.forget()
            elif self.late is None:
                self.late = self.loop.call_later(patience_s, self.transport.close)

        def forget(self) -> None:
            if self.late is not None:
                self.late.cancel()
                self.late = None

    return Punctual
