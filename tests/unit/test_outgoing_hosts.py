"""Allowed destinations of requests: listed hosts over https, and no address of a private network."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triagem.contracts.errors import InvalidInput
from triagem.notify.hosts import check_address, check_url

ALLOWED = ["acme.zendesk.com", "localhost", "127.0.0.1", "10.1.2.0/24", "::1"]


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.zendesk.com",
        "https://ACME.zendesk.com.:8443/api?x=1",
        "http://127.0.0.1:9000/hook",
        "http://localhost:9000/hook",
        "http://[::1]:9000/",
        "https://10.1.2.3/hook",
    ],
)
def test_a_listed_host_is_allowed(url: str) -> None:
    check_url(url, ALLOWED, "[zendesk.tags] url")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://evil.example.com/", "not in allowed_hosts"),
        ("https://acme.zendesk.com.evil.example.com/", "not in allowed_hosts"),
        ("https://sub.acme.zendesk.com/", "not in allowed_hosts"),
        ("http://acme.zendesk.com/", "expected https"),
        ("http://10.1.2.3/", "expected https"),
        ("ftp://acme.zendesk.com/", "expected https"),
        ("https://acme.zendesk.com@evil.example.com/", "user or password"),
        ("https://user:pass@acme.zendesk.com/", "user or password"),
        ("https://169.254.169.254/latest/meta-data", "not in allowed_hosts"),
        ("https://10.1.3.1/", "not in allowed_hosts"),
        ("https://[::ffff:10.1.3.1]/", "not in allowed_hosts"),
        ("https://2130706433/", "not in allowed_hosts"),  # some parsers read this address as 127.0.0.1
        ("https://127.1/", "not in allowed_hosts"),
        ("https://0x7f.0.0.1/", "not in allowed_hosts"),
        ("https://evil.example.com\\@acme.zendesk.com/", "not a URL"),
        ("https://acme.zendesk.com\n/", "not a URL"),
        ("https://acme.zendesk.com /", "not a URL"),
        ("https://acme.zendesk.com:99999/", "not a URL"),
        ("https://acme.zendesk.com:0/", "not a URL"),
        ("https://\uff41cme.zendesk.com/", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https:///path", "not a URL"),
        ("acme.zendesk.com", "not a URL"),
        ("", "not a URL"),
    ],
)
def test_any_other_url_is_refused_without_being_shown(url: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        check_url(url, ALLOWED, "[zendesk.tags] url")
    assert str(caught.value).startswith("[zendesk.tags] url: ")
    assert "pass" not in str(caught.value).replace("password", "")


@settings(max_examples=50)
@given(st.text() | st.text().map("https://".__add__))
def test_any_text_is_refused_with_invalid_input(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_url(url, [], "url")


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "10.1.2.9", "::1"])
def test_a_public_or_listed_address_may_be_connected_to(address: str) -> None:
    check_address(address, ALLOWED, "url")


TRANSLATED = (
    "64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::10.0.0.1 2002:a00:1:: 2002:7f00:1::1 ::10.0.0.1 ::7f00:1"
    " 2001:0:7f00:1:: fec0::1 feff::1"
)


@pytest.mark.parametrize("address", TRANSLATED.split())
def test_an_address_that_leads_to_a_private_one_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="private address"):
        check_address(address, ALLOWED, "url")


def test_a_public_address_behind_nat64_is_allowed() -> None:
    check_address("64:ff9b::93.184.215.14", ALLOWED, "url")


PRIVATE = "10.0.0.1 192.168.1.1 172.16.0.1 169.254.169.254 127.0.0.2 0.0.0.0 100.64.0.1 224.0.0.1 ::ffff:10.0.0.1"


@pytest.mark.parametrize("address", [*PRIVATE.split(), "::", "fe80::1", "fd00::1", "ff02::1", "localhost", ""])
def test_a_name_that_resolves_into_a_private_network_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="private address"):
        check_address(address, ALLOWED, "url")
