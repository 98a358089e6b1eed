"""Who reaches the gateway: it decides whether `/predict` is open and whether the start warns."""

import pytest

from gateway.address import is_loopback, url
from gateway.settings import GatewaySettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_only_this_machine_reaches_loopback(host: str) -> None:
    assert is_loopback(host)
    assert GatewaySettings(host=host).predict_is_open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "", "localhost.example.com", "127.0.0.1.example.com"])
def test_others_reach_everything_else(host: str) -> None:
    assert not is_loopback(host)
    assert not GatewaySettings(host=host).predict_is_open


def test_an_address_of_version_6_stands_in_brackets() -> None:
    assert url("::1", 8000) == "http://[::1]:8000"
