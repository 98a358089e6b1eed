"""Runs the gateway: uvicorn in this process until SIGTERM, which lets open requests finish."""

import ctypes
import gc
import resource
import signal
import socket
import sys
from contextlib import suppress
from typing import Final

import structlog
import uvicorn

from triagem.contracts.errors import InvalidInput
from triagem.gateway import docs
from triagem.gateway.app import create_app
from triagem.gateway.connections import limited_protocol
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
        server = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # without the address, which Python appends
        raise InvalidInput(
            f"the gateway cannot listen on {host}, port {port} ({reason}): stop the process that listens "
            "there, or set TRIAGEM_GATEWAY_HOST or TRIAGEM_GATEWAY_PORT"
        ) from None
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


def url(host: str, port: int) -> str:
    """The URL of the address."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


log = structlog.get_logger(__name__)

# While threads parse bodies, the event loop waits this long for Python's global lock after each system call. With the
# default of 5 ms, four parsing threads delayed `/health/live` by 300 ms.
_SWITCH_INTERVAL_S: Final = 0.0005
_M_MMAP_THRESHOLD: Final = -3
_OPEN_FILES: Final = 4096  # the usual limit of 1,024 is too low for accepted and refused connections
GRACE_S: Final = 10  # for open requests after SIGTERM
_BACKLOG: Final = 128  # asyncio accepts up to this number of connections in one step


def serve(services: Services, metrics: MetricsSettings) -> None:
    """Serve until SIGINT or SIGTERM; then finish open requests within the grace period.

    Raises:
        InvalidInput: the address cannot be used.
    """
    settings, proxies = services.settings, services.settings.trusted_proxies.split()
    host, port = settings.host, settings.port
    listener = listen(host, port)
    if not is_loopback(host):
        log.warning(
            "unencrypted_address", host=host, hint="put a TLS proxy in front: keys and texts are sent in plain text"
        )
    app = create_app(services)
    docs.rendered(app)  # takes 0.2 s: do it before the first request
    config = uvicorn.Config(
        app,
        http=limited_protocol(settings),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        backlog=_BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    with suppress(AttributeError, OSError):  # glibc only: return the memory of large bodies to the system
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1_048_576)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _OPEN_FILES:
        with suppress(ValueError, OSError):  # the hard limit is lower
            resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, hard))

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn handles signals only while it runs, and after its shutdown it raises them again.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    metrics.serve()
    gc.collect()
    gc.freeze()  # a full collection would visit all modules' objects: it stopped the event loop for 0.1 s
    log.info("gateway_started", address=url(host, port))
    server.run(sockets=[listener])
    log.info("gateway_stopped")
