"""HTTP servers that receive results: one with scripted responses, and fake CRMs that follow their documentation."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final


@dataclass(frozen=True)
class ReceivedRequest:
    """A received request; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class CannedResponse:
    """A scripted response."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Responder = Callable[[ReceivedRequest], CannedResponse]
OK: Final = CannedResponse()
UNAVAILABLE: Final = CannedResponse(503)


class Receiver:
    """An HTTP server and the requests it received. It sends `next_responses` first, then calls `respond`."""

    def __init__(self, respond: Responder = lambda _: OK, *, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[ReceivedRequest] = []
        self.next_responses: list[CannedResponse] = []
        self._respond, self._lock = respond, threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if len(body) < length:  # the sender was killed: as any receiver, ignore a part of a request
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                response = receiver._next_response(ReceivedRequest(self.command, self.path, headers, body))
                self.send_response(response.status)
                for name, value in {**response.headers, "Content-Length": str(len(response.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(response.body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Keep test output quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def _next_response(self, request: ReceivedRequest) -> CannedResponse:
        with self._lock:
            self.received.append(request)
            if self.next_responses:
                return self.next_responses.pop(0)
        return self._respond(request)

    @contextmanager
    def open(self) -> Iterator["Receiver"]:
        """Serve until the context ends."""
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


class FakeZendesk:
    """https://developer.zendesk.com/api-reference/ticketing/ticket-management/tags: PUT adds, DELETE removes;
    both return all tags of the ticket."""

    def __init__(self) -> None:
        self.tags: dict[str, set[str]] = {}

    def __call__(self, request: ReceivedRequest) -> CannedResponse:
        number = request.path.removeprefix("/api/v2/tickets/").removesuffix("/tags")
        if not request.headers.get("authorization", "").startswith("Basic ") or not number.isdecimal():
            return CannedResponse(401, body=b'{"error": "Couldn\'t authenticate you"}')
        tags = self.tags.setdefault(number, {"vip"})
        tag_names = set(request.document["tags"])
        tags.update(tag_names) if request.method == "PUT" else tags.difference_update(tag_names)
        return CannedResponse(body=json.dumps({"tags": sorted(tags)}).encode())


class FakeChatwoot:
    """https://developers.chatwoot.com/api-reference/conversations/list-labels and /add-labels: GET lists, POST
    replaces all; both return `payload`."""

    def __init__(self) -> None:
        self.labels: dict[str, list[str]] = {}

    def __call__(self, request: ReceivedRequest) -> CannedResponse:
        parts = request.path.split("/")
        if request.headers.get("api_access_token") != "chatwoot-token" or parts[:4] != ["", "api", "v1", "accounts"]:
            return CannedResponse(401)
        labels = self.labels.setdefault(parts[6], ["vip"])
        if request.method == "POST":
            labels[:] = request.document["labels"]
        return CannedResponse(body=json.dumps({"payload": labels}).encode())
