"""A base that only a model hub has: the hub is asked once, and the error reports its answer."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from triagem.trainer.bases.catalogue import hub_problem


class Hub(HTTPServer):
    """Answers each request with one status, and counts them."""

    status = 503
    requests = 0


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Hub)
        self.server.requests += 1
        body = json.dumps({"id": "owner/model"}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    server = Hub(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def problem(hub: Hub) -> str | None:
    return hub_problem("owner/model", "main", endpoint=f"http://127.0.0.1:{hub.server_port}")


def test_a_hub_that_has_the_base_is_no_problem(hub: Hub) -> None:
    hub.status = 200
    assert problem(hub) is None


@pytest.mark.parametrize("status", [404, 429, 503])
def test_a_hub_that_refuses_is_asked_once_and_quoted(hub: Hub, status: int) -> None:
    hub.status = status
    answer = problem(hub)
    assert answer is not None
    assert str(status) in answer
    assert "it is not in the cache" in answer
    assert hub.requests == 1


def test_a_hub_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    answer = hub_problem("owner/model", "main", endpoint="http://127.0.0.1:9")
    assert answer is not None
    assert "http://127.0.0.1:9 cannot be asked for it" in answer


def test_offline_mode_is_named() -> None:
    answer = hub_problem("owner/model", "main")
    assert answer is not None
    assert "HF_HUB_OFFLINE" in answer
