"""Runs the gateway: uvicorn in this process until SIGTERM, which lets open requests finish."""

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
from triagem.gateway.services import Services
from triagem.gateway.settings import MetricsSettings

log = structlog.get_logger(__name__)

_MAX_CONNECTIONS: Final = (
    500  # below the usual limit of 1,024 open files, which Redis and Postgres connections need too
)


def serve(services: Services, metrics: MetricsSettings) -> None:
    """Serve until SIGINT or SIGTERM; then finish open requests within the grace period.

    Raises:
        InvalidInput: the address cannot be used.
    """
    host, port = services.settings.host, services.settings.port
    listener = listen(host, port)
    if not is_loopback(host):
        log.warning(
            "unencrypted_address", host=host, hint="put a TLS proxy in front: keys and texts are sent in plain text"
        )
    # uvicorn raises the signal again after it has shut down; ignore it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(
        create_app(services),
        http=_protocol_with_timeout(services.settings.receive_timeout_s),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=services.settings.grace_s,
    )
    if metrics.port:
        expose(metrics.host, metrics.port)
    log.info("gateway_started", address=url(host, port))
    uvicorn.Server(config).run(sockets=[listener])
    log.info("gateway_stopped")


def _protocol_with_timeout(timeout_s: float) -> type[H11Protocol]:
    """uvicorn's HTTP protocol that closes a connection if a request's head does not arrive in time."""

    class TimeoutProtocol(H11Protocol):
        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.update_timer()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.update_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self.cancel_timer()

        def update_timer(self) -> None:
            if self.conn.their_state is not h11.IDLE:
                self.cancel_timer()
            elif self.timer is None:
                self.timer = self.loop.call_later(timeout_s, self.transport.close)

        def cancel_timer(self) -> None:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

    return TimeoutProtocol
