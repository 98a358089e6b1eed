"""Who can reach the gateway: decides whether `/predict` is open and whether the gateway warns at start."""

import socket

import pytest

from triagem.gateway.serve import listen, url
from triagem.gateway.services import GatewaySettings, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_only_this_machine_reaches_loopback(host: str) -> None:
    assert is_loopback(host)
    assert GatewaySettings(host=host).predict_is_open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "", "localhost.example.com", "127.0.0.1.example.com"])
def test_others_reach_everything_else(host: str) -> None:
    assert not is_loopback(host)
    assert not GatewaySettings(host=host).predict_is_open


def test_an_ipv6_address_is_in_brackets() -> None:
    assert url("::1", 8000) == "http://[::1]:8000"


def test_data_written_to_a_connection_is_sent_without_delay() -> None:
    with listen("127.0.0.1", 0) as server, socket.create_connection(server.getsockname()):
        connection, _ = server.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
