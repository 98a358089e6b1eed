"""Runs the gateway: uvicorn in this process until SIGTERM, which lets open requests finish."""

import asyncio
import signal
import socket
from typing import Final

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from triagem.contracts.errors import InvalidInput
from triagem.gateway.app import create_app
from triagem.gateway.services import Services, is_loopback
from triagem.process import MetricsSettings


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises InvalidInput if the address cannot be used, for example because the port is taken.

    Its connections inherit TCP_NODELAY. asyncio sets it only on a socket that names its protocol, which sockets
    accepted from `create_server` do not. A response's head and body are two writes, so without it the second write on
    a keep-alive connection waited 40 ms for the client's delayed acknowledgement.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        server = socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        raise InvalidInput(
            f"the gateway cannot listen on {host}, port {port} ({error.strerror}): stop the process that listens "
            "there, or set TRIAGEM_GATEWAY_HOST or TRIAGEM_GATEWAY_PORT"
        ) from None
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


def url(host: str, port: int) -> str:
    """The URL of the address."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


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
    metrics.serve()
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
