"""A URL that leads to another kind of server is refused within a short time, with the setting to correct."""

from collections.abc import Iterator
from socket import create_server
from threading import Thread

import pytest

from triagem.cli.stores import CheckFailed, answering
from triagem.contracts.errors import DatabaseUnavailable, InboxUnavailable
from triagem.db import Database
from triagem.inbox.client import connect, redis_errors

HTTP = b"HTTP/1.1 400 Bad Request\r\n\r\n"
SSH = b"SSH-2.0-OpenSSH_9.6\r\n"


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that answers every client with the same bytes and closes the connection."""

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(64)
                client.sendall(request.param)

    with create_server(("127.0.0.1", 0)) as listener:
        Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("scheme", "store", "setting"),
    [("redis", "Redis", "TRIAGEM_REDIS_URL"), ("postgresql", "Postgres", "TRIAGEM_DATABASE_URL")],
)
@pytest.mark.parametrize(
    ("port", "problem"),
    [
        (HTTP, "what listens at 127.0.0.1:{port} is not {store}: correct {setting}"),
        (SSH, "what listens at 127.0.0.1:{port} is not {store}: correct {setting}"),
        (b"", "127.0.0.1:{port} closes connections without an answer: it is not {store}, "),
    ],
    indirect=["port"],
)
def test_another_kind_of_server_is_named(port: int, problem: str, scheme: str, store: str, setting: str) -> None:
    with pytest.raises(CheckFailed) as caught, answering(f"{scheme}://u:hush@127.0.0.1:{port}/0", setting):
        pass

    assert str(caught.value).startswith(problem.format(port=port, store=store, setting=setting))


@pytest.mark.parametrize("port", [HTTP], indirect=True)
def test_a_server_without_tls_is_not_called_one_that_hangs(port: int) -> None:
    url = f"rediss://127.0.0.1:{port}/0"
    with (
        pytest.raises(InboxUnavailable, match=r"does not answer in TLS .*: check TRIAGEM_REDIS_URL"),
        answering(url, "TRIAGEM_REDIS_URL"),
        redis_errors(),
    ):
        connect(url).ping()


@pytest.mark.parametrize("port", [HTTP, SSH], indirect=True)
def test_the_error_of_a_client_names_the_setting_too(port: int) -> None:
    with (
        pytest.raises(InboxUnavailable, match="is not Redis: check TRIAGEM_REDIS_URL"),
        redis_errors(),
    ):
        connect(f"redis://127.0.0.1:{port}/0").ping()
    with pytest.raises(DatabaseUnavailable, match="is not Postgres: check TRIAGEM_DATABASE_URL"):
        Database(f"postgresql://u:hush@127.0.0.1:{port}/0").scalar_one("SELECT 1")
