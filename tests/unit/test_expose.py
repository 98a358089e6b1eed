"""`/metrics` on a port of its own, and what is said when it cannot be had."""

import socket
from collections.abc import Callable

import pytest

import gateway.metrics
import worker.expose
from cli.stack.ports import choose
from contracts.errors import InvalidInput
from tests.support.leaks import metrics_of

Expose = Callable[[str, int], None]
both = pytest.mark.parametrize("expose", [worker.expose.expose, gateway.metrics.expose], ids=["worker", "gateway"])


@both
def test_prometheus_is_answered(expose: Expose) -> None:
    port = choose()
    expose("127.0.0.1", port)
    assert "python_info" in metrics_of(port)


@both
def test_a_port_that_is_taken_is_a_users_mistake(expose: Expose) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(InvalidInput, match="TRIAGEM_METRICS_PORT"):
        expose("127.0.0.1", other.getsockname()[1])
