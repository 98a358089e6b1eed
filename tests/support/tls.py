"""TLS before servers that have none: the local stack's binaries are built without it, and clients must not notice.

The certificates are made for each test run and are trusted by nobody else.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from struct import pack
from threading import Thread
from typing import Final
from urllib.parse import urlencode, urlsplit

import trustme

HOST: Final = "localhost"
_SSL_REQUEST: Final = pack("!ii", 8, 80877103)
_GSS_REQUEST: Final = pack("!ii", 8, 80877104)


@dataclass(frozen=True)
class Authority:
    """Who signs certificates, and the file that says so."""

    ca: trustme.CA
    file: Path


def authority(folder: Path, name: str) -> Authority:
    """A new authority."""
    made = Authority(trustme.CA(organization_name=name), folder / f"{name}.pem")
    made.ca.cert_pem.write_to_path(made.file)
    return made


def secured(url: str, port: int, **options: object) -> str:
    """A server's URL, for the TLS proxy at `port`."""
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    scheme = {"redis": "rediss"}.get(parts.scheme, parts.scheme)
    query = urlencode({name: str(value) for name, value in options.items()})
    return parts._replace(scheme=scheme, netloc=f"{user}@{HOST}:{port}", query=query).geturl()


@contextmanager
def tls_proxy(url: str, signed_by: Authority) -> Iterator[int]:
    """Ends TLS and forwards to the server of `url`; yields its port. The certificate is for `localhost` alone."""
    upstream = urlsplit(url)
    where = (upstream.hostname or "127.0.0.1", upstream.port or 0)
    asks_first = upstream.scheme == "postgresql"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    signed_by.ca.issue_cert(HOST).configure_cert(context)

    class Connection(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # a client that trusts us not leaves in the handshake
                if asks_first and not _agreed(self.request):
                    return
                with context.wrap_socket(self.request, server_side=True) as client:
                    _forward(client, where)

    with ThreadingTCPServer(("127.0.0.1", 0), Connection) as listener:
        listener.daemon_threads = True
        Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield int(listener.server_address[1])
        finally:
            listener.shutdown()


def _agreed(client: socket.socket) -> bool:
    """Postgres' clients first ask in the clear whether they may speak TLS."""
    while (asked := client.recv(8)) == _GSS_REQUEST:
        client.sendall(b"N")
    if asked != _SSL_REQUEST:
        return False
    client.sendall(b"S")
    return True


def _forward(client: ssl.SSLSocket, where: tuple[str, int]) -> None:
    with socket.create_connection(where) as server:
        back = Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
