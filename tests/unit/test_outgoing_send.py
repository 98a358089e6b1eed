"""One request: to the address that was judged and no other, in bounded time, and what goes wrong is a verdict."""

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.receiver import Receiver, Says
from tests.support.tls import authority
from triagem.outgoing import Again, Delivered, GiveUp, Request
from triagem.outgoing.send import Sender

NAMED = ["crm.example.com", "127.0.0.1"]


def post(url: str) -> Request:
    return Request("POST", url, {"Authorization": "Basic c2VjcmV0"}, b'{"text": "minha senha"}')


def test_a_request_arrives_as_it_is() -> None:
    with Receiver().open() as receiver:
        assert Sender(NAMED).send(post(f"{receiver.url}/hook?x=1")) == Delivered()
    (came,) = receiver.came
    assert (came.method, came.path, came.body) == ("POST", "/hook?x=1", b'{"text": "minha senha"}')
    assert came.headers["authorization"] == "Basic c2VjcmV0"
    assert came.headers["host"] == f"127.0.0.1:{receiver.port}"


def test_only_the_answer_to_a_question_is_read() -> None:
    with Receiver(lambda _: Says(body=b"[]")).open() as receiver:
        assert Sender(NAMED).send(Request("GET", receiver.url, {})) == Delivered(b"[]")
        assert Sender(NAMED).send(post(receiver.url)) == Delivered(b"")


def test_a_host_that_is_not_listed_is_not_even_resolved() -> None:
    def resolve(host: str, port: int) -> Sequence[str]:
        raise AssertionError(host)

    verdict = Sender(["other.example.com"], resolve=resolve).send(post("https://crm.example.com/"))
    assert verdict == GiveUp("the address: the host is not in allowed_hosts")


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["169.254.169.254"], ["::1"], ["93.184.215.14", "192.168.1.1"], ["fe80::1"]]
)
def test_a_name_that_resolves_to_a_private_address_is_not_connected_to(addresses: list[str]) -> None:
    sender = Sender(["crm.example.com"], resolve=lambda *_: addresses, timeout_s=5)
    verdict = sender.send(post("https://crm.example.com/"))
    assert isinstance(verdict, GiveUp)
    assert "resolves to a private address" in verdict.reason


def test_a_name_is_resolved_once_and_what_it_is_called_a_moment_later_does_not_matter(tmp_path: Path) -> None:
    signer = authority(tmp_path, "ours")
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    signer.ca.issue_cert("crm.example.com").configure_cert(served)
    trusted = ssl.create_default_context(cafile=str(signer.file))
    with Receiver(tls=served).open() as receiver:
        sender = Sender(NAMED, resolve=resolve, tls=trusted)
        assert sender.send(post(f"https://crm.example.com:{receiver.port}/")) == Delivered()
    assert asked == ["crm.example.com"]
    assert receiver.came[0].headers["host"] == f"crm.example.com:{receiver.port}"


@pytest.mark.parametrize("name", ["other.example.com", "127.0.0.1"])
def test_the_certificate_must_be_for_the_name_whatever_address_it_stands_for(tmp_path: Path, name: str) -> None:
    signer = authority(tmp_path, "ours")
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    signer.ca.issue_cert(name).configure_cert(served)
    trusted = ssl.create_default_context(cafile=str(signer.file))
    with Receiver(tls=served).open() as receiver:
        sender = Sender(NAMED, resolve=lambda *_: ["127.0.0.1"], tls=trusted)
        verdict = sender.send(post(f"https://crm.example.com:{receiver.port}/"))
    assert verdict == Again("the certificate is not trusted")
    assert receiver.came == []


def test_a_redirect_is_not_followed() -> None:
    with Receiver().open() as inner:
        elsewhere = Says(307, {"Location": inner.url})
        with Receiver(lambda _: elsewhere).open() as receiver:
            assert isinstance(Sender(NAMED).send(post(receiver.url)), GiveUp)
    assert inner.came == []


def test_a_name_that_does_not_resolve_and_a_port_that_is_closed_are_tried_again() -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror("unknown")

    assert Sender(NAMED, resolve=unknown).send(post("https://crm.example.com/")) == Again("gaierror")
    endless = f"{'a' * 64}.example.com"
    assert Sender([endless]).send(post(f"https://{endless}/")) == Again("gaierror")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert Sender(NAMED).send(post(f"http://127.0.0.1:{port}/")) == Again("ConnectError")


@contextmanager
def dripping(said: bytes) -> Iterator[int]:
    """A server that says this again and again, slowly."""
    ended = threading.Event()

    def drip(listener: socket.socket) -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            with client:
                while not ended.wait(0.01):
                    client.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        ended.set()
    thread.join()


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_answer_that_comes_byte_by_byte_ends_at_the_deadline(said: bytes) -> None:
    with dripping(said) as port:
        verdict = Sender(NAMED, timeout_s=0.3).send(post(f"http://127.0.0.1:{port}/"))
    assert isinstance(verdict, Again)


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with Receiver(lambda _: Says(body=b"x" * 1_100_000)).open() as receiver:
        assert isinstance(Sender(NAMED).send(Request("GET", receiver.url, {})), GiveUp)


def test_a_long_page_that_says_not_now_is_no_reason_to_give_up() -> None:
    with Receiver(lambda _: Says(503, body=b"x" * 1_100_000)).open() as receiver:
        assert Sender(NAMED).send(Request("GET", receiver.url, {})) == Again("answered 503")


def test_what_answers_no_http_is_tried_again() -> None:
    with dripping(b"SSH-2.0-none\r\n\r\n") as port:
        assert Sender(NAMED).send(post(f"http://127.0.0.1:{port}/")) == Again("RemoteProtocolError")
