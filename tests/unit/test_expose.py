"""`/metrics` on a port of its own, and what is said when it cannot be had."""

import socket
from collections.abc import Callable

import pytest

from tests.support.leaks import metrics_of
from triagem.cli.stack.ports import choose
from triagem.contracts.errors import InvalidInput
from triagem.gateway.metrics import expose as expose_gateway
from triagem.worker.expose import expose as expose_worker

Expose = Callable[[str, int], None]
both = pytest.mark.parametrize("expose", [expose_worker, expose_gateway], ids=["worker", "gateway"])


@both
def test_prometheus_is_answered(expose: Expose) -> None:
    port = choose()
    expose("127.0.0.1", port)
    assert "python_info" in metrics_of(port)


@both
def test_a_port_that_is_taken_is_a_users_mistake(expose: Expose) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(InvalidInput, match="TRIAGEM_METRICS_PORT"):
        expose("127.0.0.1", other.getsockname()[1])
