"""The gateway stops on SIGTERM at any time."""

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from triagem.gateway import serve
from triagem.gateway.services import GatewaySettings


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_stop_requested_before_the_server_runs_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    stops: list[bool] = []

    def run(server: uvicorn.Server, sockets: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # before uvicorn handles signals
        stops.append(server.should_exit)

    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.setattr(serve, "create_app", lambda services: None)
    monkeypatch.setattr(serve, "listen", lambda host, port: None)
    monkeypatch.setattr("triagem.gateway.docs.rendered", lambda app: None)
    services: Any = SimpleNamespace(settings=GatewaySettings())
    metrics: Any = SimpleNamespace(serve=lambda: None)

    serve.serve(services, metrics)

    assert stops == [True]
