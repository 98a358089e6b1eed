"""A TLS proxy for servers built without TLS, such as the local stack's. Clients see a server with TLS.

Each test run creates its own certificates, which no other program trusts.
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
    """A certificate authority, and the file with its certificate."""

    ca: trustme.CA
    file: Path


def authority(folder: Path, name: str) -> Authority:
    """Create an authority."""
    created = Authority(trustme.CA(organization_name=name), folder / f"{name}.pem")
    created.ca.cert_pem.write_to_path(created.file)
    return created


def secured(url: str, port: int, **options: object) -> str:
    """The URL of a server behind the TLS proxy at `port`."""
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    scheme = {"redis": "rediss"}.get(parts.scheme, parts.scheme)
    query = urlencode({name: str(value) for name, value in options.items()})
    return parts._replace(scheme=scheme, netloc=f"{user}@{HOST}:{port}", query=query).geturl()


@contextmanager
def tls_proxy(url: str, signed_by: Authority) -> Iterator[int]:
    """Terminate TLS and forward to the server of `url`; yields the port. The certificate is for `localhost` only."""
    upstream = urlsplit(url)
    address = (upstream.hostname or "127.0.0.1", upstream.port or 0)
    has_ssl_request = upstream.scheme == "postgresql"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    signed_by.ca.issue_cert(HOST).configure_cert(context)

    class Connection(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # a client that does not trust the certificate closes the connection
                if has_ssl_request and not _accept_ssl_request(self.request):
                    return
                with context.wrap_socket(self.request, server_side=True) as client:
                    _forward(client, address)

    with ThreadingTCPServer(("127.0.0.1", 0), Connection) as listener:
        listener.daemon_threads = True
        Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield int(listener.server_address[1])
        finally:
            listener.shutdown()


def _accept_ssl_request(client: socket.socket) -> bool:
    """Answer the unencrypted SSLRequest that Postgres clients send first."""
    while (request := client.recv(8)) == _GSS_REQUEST:
        client.sendall(b"N")
    if request != _SSL_REQUEST:
        return False
    client.sendall(b"S")
    return True


def _forward(client: ssl.SSLSocket, address: tuple[str, int]) -> None:
    with socket.create_connection(address) as server:
        responses = Thread(target=_pump, args=(server, client), daemon=True)
        responses.start()
        _pump(client, server)
        responses.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
