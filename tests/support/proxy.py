"""A TCP proxy in front of a real Redis that truncates one reply, like a network that fails at the wrong moment."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedIOBase
from socket import SHUT_RDWR, create_connection, socket
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """The proxy's URL, and the names of the commands forwarded to the server, in order."""

    url: str
    commands: list[str] = field(default_factory=list)


@contextmanager
def cutting_proxy(redis_url: str, command: str = "", nth: int = 1) -> Iterator[Proxy]:
    """Forward to `redis_url`. The server executes the `nth` `command`, but only the first half of its reply arrives;
    then the connection closes. Later connections are not affected."""
    upstream = urlsplit(redis_url)
    host, port = upstream.hostname or "127.0.0.1", upstream.port or 6379

    class Connection(StreamRequestHandler):
        def handle(self) -> None:
            self.cutting = False
            with create_connection((host, port)) as server:
                answers = Thread(target=self._answer, args=(server,), daemon=True)
                answers.start()
                with suppress(OSError):  # the client disconnected in the middle of a command
                    while arguments := _read_command(self.rfile):
                        name = arguments[0].decode().upper()
                        proxy.commands.append(name)
                        self.cutting = name == command and proxy.commands.count(name) == nth
                        server.sendall(_packed(arguments))
                with suppress(OSError):  # the server disconnected
                    server.shutdown(SHUT_RDWR)
                answers.join()

        def _answer(self, server: socket) -> None:
            with suppress(OSError):  # one of the two disconnected
                while chunk := server.recv(65536):
                    self.connection.sendall(chunk[: len(chunk) // 2] if self.cutting else chunk)
                    if self.cutting:
                        break
                self.connection.shutdown(SHUT_RDWR)

    with ThreadingTCPServer(("127.0.0.1", 0), Connection) as listener:
        listener.daemon_threads = True
        user, _, _ = upstream.netloc.rpartition("@")
        proxy = Proxy(upstream._replace(netloc=f"{user}@127.0.0.1:{listener.server_address[1]}").geturl())
        Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield proxy
        finally:
            listener.shutdown()


def _read_command(stream: BufferedIOBase) -> list[bytes]:
    """The arguments of a command, as clients send them: `*2 $4 LLEN $1 x`. Empty once the client has disconnected."""
    head = stream.readline()
    return [stream.read(int(stream.readline()[1:]) + 2)[:-2] for _ in range(int(head[1:] or 0))]


def _packed(arguments: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%s\r\n" % (len(value), value) for value in arguments)
