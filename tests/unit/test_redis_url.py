"""Redis URLs: their allowed content, which no message shows."""

import ssl
from socket import create_server

import pytest

from triagem.broker import broker_for_celery, default_broker_url, make_app
from triagem.contracts.errors import InboxUnavailable, InvalidInput
from triagem.inbox import client, connect
from triagem.inbox.client import redis_errors

PASSWORD = "hush-hush"


def options_of(url: str) -> dict[str, object]:
    """The connection options of a client for this URL."""
    options: dict[str, object] = connect(url).connection_pool.connection_kwargs
    return options


@pytest.mark.parametrize(
    "option",
    [
        "decode_responses=true",
        "protocol=3",
        "retry_on_timeout=true",
        "socket_timeout=0.1",
        "health_check_interval=0",
        "db=7",
        "encoding=latin-1",
        f"password={PASSWORD}",
        f"{PASSWORD}",
    ],
)
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_options_of_a_url_cannot_override_ours(scheme: str, option: str) -> None:
    with pytest.raises(InvalidInput, match="TRIAGEM_REDIS_URL") as caught:
        connect(f"{scheme}://127.0.0.1:6379/0?{option}")
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        PASSWORD,
        f"http://:{PASSWORD}@127.0.0.1/0",
        f"unix://:{PASSWORD}@/tmp/redis.sock",
        f"redis://:half:{PASSWORD}/more@127.0.0.1:6379/0",
        f"redis://:6379/{PASSWORD}@127.0.0.1:6379/0",
        f"redis://:6379#{PASSWORD}@127.0.0.1:6379/0",
        f"redis://:6379?{PASSWORD}@127.0.0.1:6379/0",
        f"redis://:{PASSWORD}@[::1/0",
        f"redis://:{PASSWORD}@127.0.0.1:6379/{PASSWORD}",
        f"rediss://:{PASSWORD}@127.0.0.1:6379/0?ssl_cert_reqs={PASSWORD}",
    ],
)
@pytest.mark.parametrize("setting", ["TRIAGEM_REDIS_URL", "TRIAGEM_BROKER_URL"])
def test_a_url_that_cannot_be_used_is_named_but_not_shown(setting: str, url: str) -> None:
    with pytest.raises(InvalidInput, match=setting) as caught:
        connect(url) if "REDIS" in setting else broker_for_celery(url)
    assert PASSWORD not in f"{caught.value} {caught.value.__cause__}"


def test_certificates_are_given_in_the_url() -> None:
    options = options_of("rediss://redis.example:6380/0?ssl_ca_certs=/ca.pem&ssl_certfile=/me.pem")

    assert options["ssl_ca_certs"] == "/ca.pem"
    assert options["ssl_certfile"] == "/me.pem"
    assert options["decode_responses"] is False


@pytest.mark.parametrize(
    ("inbox", "broker"),
    [
        ("redis://h:6379", "redis://h:6379/1"),
        ("redis://h:6379/", "redis://h:6379/1"),
        ("redis://u:p%2Fw@h:6379/4", "redis://u:p%2Fw@h:6379/5"),
        ("rediss://h:1/0?ssl_ca_certs=/ca.pem", "rediss://h:1/1?ssl_ca_certs=/ca.pem"),
    ],
)
def test_the_default_broker_is_the_next_database_with_the_same_options(inbox: str, broker: str) -> None:
    assert default_broker_url(inbox) == broker


@pytest.mark.parametrize("query", ["", "?ssl_ca_certs=/ca.pem", "?ssl_cert_reqs=required"])
def test_celery_always_verifies_certificates(query: str) -> None:
    connection = make_app(f"rediss://h:1/1{query}").connection_for_write()

    assert connection.ssl["ssl_cert_reqs"] is ssl.CERT_REQUIRED


def test_a_semicolon_in_the_password_does_not_split_the_url() -> None:
    connection = make_app("redis://:half;half@h:6379/1").connection_for_write()

    assert (connection.hostname, connection.password) == ("h", "half;half")


def problem_at(url: str) -> str:
    """The error of a command to the Redis at this URL."""
    with pytest.raises(InboxUnavailable) as caught, redis_errors():
        connect(url).ping()
    return str(caught.value)


def test_a_redis_that_does_not_answer_is_described_without_names_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_SOCKET_TIMEOUT_S", 0.1)
    with create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        assert problem_at(url) == "Redis does not answer (timeout)"
    assert problem_at(url) == "Redis does not answer (connection refused)"
