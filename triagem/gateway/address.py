"""The gateway's listening socket and address."""

import socket
from ipaddress import ip_address

from triagem.contracts.errors import InvalidInput


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


def is_loopback(host: str) -> bool:
    """Whether the host is reachable from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
