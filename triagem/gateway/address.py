"""Where the gateway listens, and who reaches it there."""

import socket
from ipaddress import ip_address

from triagem.contracts.errors import InvalidInput


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises InvalidInput if nobody can, because the port is taken for instance.

    Its connections inherit TCP_NODELAY. asyncio sets it only on a socket that names its protocol, which accepted ones
    of `create_server` do not; and head and body of an answer are two writes, so that on a connection kept alive the
    second one waited 40 ms for the client's delayed acknowledgement.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        server = socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        raise InvalidInput(
            f"the gateway cannot listen on {host}, port {port} ({error.strerror}): end what listens there, or set "
            "TRIAGEM_GATEWAY_HOST or TRIAGEM_GATEWAY_PORT"
        ) from None
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


def url(host: str, port: int) -> str:
    """The address for a browser."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
