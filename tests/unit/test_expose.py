"""`/metrics` on its own port, and the error if the port is in use."""

import socket

import pytest

from tests.support.leaks import fetch_metrics
from triagem.contracts.errors import InvalidInput
from triagem.process import MetricsSettings
from triagem.stack.state import choose_port


def test_metrics_are_served() -> None:
    port = choose_port()
    MetricsSettings(port=port).serve()
    assert "python_info" in fetch_metrics(port)


def test_a_port_that_is_in_use_is_invalid_input() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(InvalidInput, match="TRIAGEM_METRICS_PORT"),
    ):
        MetricsSettings(port=listener.getsockname()[1]).serve()
