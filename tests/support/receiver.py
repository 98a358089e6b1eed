"""Servers that results are sent to: one that answers as told, and CRMs that behave as their documentation says."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final


@dataclass(frozen=True)
class Came:
    """A request as it came; names of headers in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Says:
    """An answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Answer = Callable[[Came], Says]
FINE: Final = Says()
AWAY: Final = Says(503)


class Receiver:
    """An HTTP server and what came to it. The first answers are those of `first`, then `answer` decides."""

    def __init__(self, answer: Answer = lambda _: FINE, *, tls: ssl.SSLContext | None = None) -> None:
        self.came: list[Came] = []
        self.first: list[Says] = []
        self._answer, self._lock = answer, threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                said = receiver._said(Came(self.command, self.path, headers, body))
                self.send_response(said.status)
                for name, value in {**said.headers, "Content-Length": str(len(said.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.body)

            do_GET = do_POST = do_PUT = do_DELETE = _take  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Tests say what they saw."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def _said(self, came: Came) -> Says:
        with self._lock:
            self.came.append(came)
            if self.first:
                return self.first.pop(0)
        return self._answer(came)

    @contextmanager
    def open(self) -> Iterator["Receiver"]:
        """Answers until the end."""
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


class FakeZendesk:
    """https://developer.zendesk.com/api-reference/ticketing/ticket-management/tags: PUT adds, DELETE takes off, both
    answer with all tags of the ticket."""

    def __init__(self) -> None:
        self.tags: dict[str, set[str]] = {}

    def __call__(self, came: Came) -> Says:
        number = came.path.removeprefix("/api/v2/tickets/").removesuffix("/tags")
        if not came.headers.get("authorization", "").startswith("Basic ") or not number.isdecimal():
            return Says(401, body=b'{"error": "Couldn\'t authenticate you"}')
        tags = self.tags.setdefault(number, {"vip"})
        named = set(came.document["tags"])
        tags.update(named) if came.method == "PUT" else tags.difference_update(named)
        return Says(body=json.dumps({"tags": sorted(tags)}).encode())


class FakeChatwoot:
    """https://developers.chatwoot.com/api-reference/conversations/list-labels and /add-labels: GET lists, POST
    replaces all; both answer with `payload`."""

    def __init__(self) -> None:
        self.labels: dict[str, list[str]] = {}

    def __call__(self, came: Came) -> Says:
        parts = came.path.split("/")
        if came.headers.get("api_access_token") != "chatwoot-token" or parts[:4] != ["", "api", "v1", "accounts"]:
            return Says(401)
        labels = self.labels.setdefault(parts[6], ["vip"])
        if came.method == "POST":
            labels[:] = came.document["labels"]
        return Says(body=json.dumps({"payload": labels}).encode())
