"""`/metrics` on a port of its own, and what is said when it cannot be had."""

import socket
from collections.abc import Callable

import pytest

from tests.support.leaks import fetch_metrics
from triagem.cli.stack.ports import choose_port
from triagem.contracts.errors import InvalidInput
from triagem.gateway.metrics import expose as expose_gateway
from triagem.worker.expose import expose_metrics as expose_worker

Expose = Callable[[str, int], None]
both = pytest.mark.parametrize("expose", [expose_worker, expose_gateway], ids=["worker", "gateway"])


@both
def test_metrics_are_served(expose: Expose) -> None:
    port = choose_port()
    expose("127.0.0.1", port)
    assert "python_info" in fetch_metrics(port)


@both
def test_a_port_that_is_in_use_is_invalid_input(expose: Expose) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(InvalidInput, match="TRIAGEM_METRICS_PORT"):
        expose("127.0.0.1", other.getsockname()[1])
