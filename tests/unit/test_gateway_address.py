"""Who can reach the gateway: decides whether `/predict` is open and whether the gateway warns at start."""

import socket

import pytest

from triagem.gateway.connections import client_network
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


def test_behind_a_proxy_on_this_machine_predict_needs_a_key() -> None:
    assert not GatewaySettings(host="127.0.0.1", trusted_proxies="127.0.0.1").predict_is_open


def test_an_ipv6_network_of_one_customer_is_one_client() -> None:
    assert client_network("2001:db8:1:2::a") == client_network("2001:db8:1:2:ffff::b") == "2001:db8:1:2::/64"
    assert client_network("2001:db8:1:3::a") != client_network("2001:db8:1:2::a")
    assert client_network("::ffff:192.0.2.1") == client_network("192.0.2.1") == "192.0.2.1"


def test_an_ipv6_address_is_in_brackets() -> None:
    assert url("::1", 8000) == "http://[::1]:8000"


def test_data_written_to_a_connection_is_sent_without_delay() -> None:
    with listen("127.0.0.1", 0) as server, socket.create_connection(server.getsockname()):
        connection, _ = server.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
