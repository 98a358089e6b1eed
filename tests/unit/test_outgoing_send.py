"""Sending one request: only to the checked address, in bounded time; a failure becomes a send result."""

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.receiver import CannedResponse, Receiver
from tests.support.tls import authority
from triagem.notify.channels import Sender
from triagem.notify.request import Delivered, Request, Retry, Undeliverable

UNRESOLVED = Retry("the name of the host cannot be resolved")
ALLOWED = ["crm.example.com", "127.0.0.1"]


def post(url: str) -> Request:
    return Request("POST", url, {"Authorization": "Basic c2VjcmV0"}, b'{"text": "minha senha"}')


def test_a_request_arrives_unchanged() -> None:
    with Receiver().open() as receiver:
        assert Sender(ALLOWED).send(post(f"{receiver.url}/hook?x=1")) == Delivered()
    (received,) = receiver.received
    assert (received.method, received.path, received.body) == ("POST", "/hook?x=1", b'{"text": "minha senha"}')
    assert received.headers["authorization"] == "Basic c2VjcmV0"
    assert received.headers["host"] == f"127.0.0.1:{receiver.port}"


def test_only_the_response_to_a_get_is_read() -> None:
    with Receiver(lambda _: CannedResponse(body=b"[]")).open() as receiver:
        assert Sender(ALLOWED).send(Request("GET", receiver.url, {})) == Delivered(b"[]")
        assert Sender(ALLOWED).send(post(receiver.url)) == Delivered(b"")


def test_a_host_that_is_not_listed_is_not_even_resolved() -> None:
    def resolve(host: str, port: int) -> Sequence[str]:
        raise AssertionError(host)

    outcome = Sender(["other.example.com"], resolve=resolve).send(post("https://crm.example.com/"))
    assert outcome == Undeliverable(
        "the address: the host is not in allowed_hosts: add it to this list at the top of the file"
    )


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["169.254.169.254"], ["::1"], ["93.184.215.14", "192.168.1.1"], ["fe80::1"]]
)
def test_a_name_that_resolves_to_a_private_address_is_not_connected_to(addresses: list[str]) -> None:
    sender = Sender(["crm.example.com"], resolve=lambda *_: addresses, timeout_s=5)
    outcome = sender.send(post("https://crm.example.com/"))
    assert isinstance(outcome, Undeliverable)
    assert "resolves to a private address" in outcome.reason


def test_a_name_is_resolved_once_and_a_later_change_has_no_effect(tmp_path: Path) -> None:
    signer = authority(tmp_path, "ours")
    resolved: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        resolved.append(host)
        return ["127.0.0.1"] if len(resolved) == 1 else ["10.0.0.1"]

    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    signer.ca.issue_cert("crm.example.com").configure_cert(server_context)
    client_context = ssl.create_default_context(cafile=str(signer.file))
    with Receiver(tls=server_context).open() as receiver:
        sender = Sender(ALLOWED, resolve=resolve, tls=client_context)
        assert sender.send(post(f"https://crm.example.com:{receiver.port}/")) == Delivered()
    assert resolved == ["crm.example.com"]
    assert receiver.received[0].headers["host"] == f"crm.example.com:{receiver.port}"


@pytest.mark.parametrize("name", ["other.example.com", "127.0.0.1"])
def test_the_certificate_must_match_the_host_name(tmp_path: Path, name: str) -> None:
    signer = authority(tmp_path, "ours")
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    signer.ca.issue_cert(name).configure_cert(server_context)
    client_context = ssl.create_default_context(cafile=str(signer.file))
    with Receiver(tls=server_context).open() as receiver:
        sender = Sender(ALLOWED, resolve=lambda *_: ["127.0.0.1"], tls=client_context)
        outcome = sender.send(post(f"https://crm.example.com:{receiver.port}/"))
    assert outcome == Retry("the certificate is not trusted")
    assert receiver.received == []


def test_a_redirect_is_not_followed() -> None:
    with Receiver().open() as inner:
        elsewhere = CannedResponse(307, {"Location": inner.url})
        with Receiver(lambda _: elsewhere).open() as receiver:
            assert isinstance(Sender(ALLOWED).send(post(receiver.url)), Undeliverable)
    assert inner.received == []


def test_an_unresolvable_name_and_a_closed_port_are_retried() -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror("unknown")

    assert Sender(ALLOWED, resolve=unknown).send(post("https://crm.example.com/")) == UNRESOLVED
    endless = f"{'a' * 64}.example.com"
    assert Sender([endless]).send(post(f"https://{endless}/")) == UNRESOLVED
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert Sender(ALLOWED).send(post(f"http://127.0.0.1:{port}/")) == Retry("connection refused")


@contextmanager
def slow_server(chunk: bytes) -> Iterator[int]:
    """A server that sends these bytes again and again, slowly."""
    ended = threading.Event()

    def send_slowly(listener: socket.socket) -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            with client:
                while not ended.wait(0.01):
                    client.sendall(chunk)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=send_slowly, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        ended.set()
    thread.join()


@pytest.mark.parametrize("chunk", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_response_sent_byte_by_byte_ends_at_the_deadline(chunk: bytes) -> None:
    with slow_server(chunk) as port:
        outcome = Sender(ALLOWED, timeout_s=0.3).send(post(f"http://127.0.0.1:{port}/"))
    assert isinstance(outcome, Retry)


def test_an_oversized_response_is_not_read_to_its_end() -> None:
    with Receiver(lambda _: CannedResponse(body=b"x" * 1_100_000)).open() as receiver:
        assert isinstance(Sender(ALLOWED).send(Request("GET", receiver.url, {})), Undeliverable)


def test_a_503_with_an_oversized_body_is_retried() -> None:
    with Receiver(lambda _: CannedResponse(503, body=b"x" * 1_100_000)).open() as receiver:
        assert Sender(ALLOWED).send(Request("GET", receiver.url, {})) == Retry("answered 503")


def test_a_server_that_does_not_speak_http_is_retried() -> None:
    with slow_server(b"SSH-2.0-none\r\n\r\n") as port:
        assert Sender(ALLOWED).send(post(f"http://127.0.0.1:{port}/")) == Retry("the server does not answer in HTTP")
