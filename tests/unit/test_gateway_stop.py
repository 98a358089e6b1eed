"""The gateway's server process: it stops on SIGTERM at any time, and keeps idle connections."""

import os
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from triagem.gateway import docs, serve
from triagem.gateway.services import GatewaySettings


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def serve_with(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve with another function in place of uvicorn's loop."""
    monkeypatch.setattr(uvicorn.Server, "run", run)
    monkeypatch.setattr(serve, "create_app", lambda services: None)
    monkeypatch.setattr(serve, "listen", lambda host, port: None)
    monkeypatch.setattr(docs, "rendered", lambda app: None)
    services: Any = SimpleNamespace(settings=GatewaySettings())
    metrics: Any = SimpleNamespace(serve=lambda: None)

    serve.serve(services, metrics)


def test_a_stop_requested_before_the_server_runs_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    stops: list[bool] = []

    def run(server: uvicorn.Server, sockets: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # before uvicorn handles signals
        stops.append(server.should_exit)

    serve_with(run, monkeypatch)

    assert stops == [True]


@pytest.mark.parametrize(("setting", "seconds"), [(None, 75), ("610", 610)])
def test_an_idle_connection_outlives_that_of_the_proxy_in_front(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, seconds: int
) -> None:
    kept: list[int] = []
    if setting:
        monkeypatch.setenv("TRIAGEM_GATEWAY_KEEP_ALIVE_S", setting)

    serve_with(lambda server, sockets: kept.append(server.config.timeout_keep_alive), monkeypatch)

    assert kept == [seconds]
