"""A gateway process, and clients that send it bytes of their choice."""

import json
import socket
from email.message import Message
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.builders import fields
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.stack import Endpoints
from triagem.stack.state import choose_port

RECEIVE_TIMEOUT_S: Final = 1
ATTACKER: Final = "127.0.0.2"  # a second client address; Linux accepts all of 127.0.0.0/8
MARK: Final = b"Zqx7391"  # a part of each attack's content, which no answer and no log may contain
_ROOT: Final = Path(__file__).parent.parent.parent


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: Message
    body: bytes

    @property
    def is_problem(self) -> bool:
        return self.headers["Content-Type"] == "application/problem+json"


def read_answer(connection: socket.socket) -> Answer:
    """The next answer on a connection."""
    response = HTTPResponse(connection)
    response.begin()
    return Answer(response.status, response.headers, response.read())


class Gateway:
    """A started gateway and its port."""

    def __init__(self, endpoints: Endpoints, folder: Path, **settings: str) -> None:
        self.port = choose_port()
        self.process = WorkerProcess(
            endpoints,
            folder / "gateway.log",
            "gateway",
            **{
                "TRIAGEM_GATEWAY_PORT": str(self.port),
                "TRIAGEM_GATEWAY_RECEIVE_TIMEOUT_S": str(RECEIVE_TIMEOUT_S),
                "PYTHONPATH": str(_ROOT),
                **settings,
            },
        )
        until(lambda: "gateway_started" in self.process.log.read_text() or self.process.exit_status is not None)
        assert self.process.exit_status is None, self.process.exit_reason()

    def connect(self, client: str = "127.0.0.1") -> socket.socket:
        """A TCP connection without HTTP."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30, source_address=(client, 0))

    def send(self, *parts: bytes, client: str = "127.0.0.1") -> Answer:
        """Send bytes on a new connection; returns the answer."""
        with self.connect(client) as connection:
            for part in parts:
                connection.sendall(part)
            return read_answer(connection)

    def post(self, number: int, key: str) -> str | None:
        """Submit a ticket; returns the entry's id if it was accepted."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", "/v1/tickets", ticket(number), {"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            content = json.loads(answer.read())
            return str(content["receipts"][0]["entry_id"]) if answer.status == 202 else None
        finally:
            connection.close()


def ticket(number: int) -> bytes:
    """A ticket as JSON."""
    values: dict[str, Any] = fields(external_id=str(number), text="minha internet caiu")
    return json.dumps(values | {"revised_at": values["revised_at"].isoformat()}).encode()


def head(path: str, length: int, key: str | None = None, *more: str, method: str = "POST") -> bytes:
    """The head of a request with a body of this length."""
    credentials = [f"Authorization: Bearer {key}"] if key else []
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *credentials, *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
