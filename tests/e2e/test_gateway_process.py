"""`triagem gateway` as a process: accepted tickets are kept, and bad clients affect no others."""

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Triagem, assert_one_line
from tests.support.gateway_process import Gateway, ticket
from tests.support.waiting import until
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.auth import Scope, create_key
from triagem.inbox import Inbox
from triagem.stack import Endpoints, LocalStack
from triagem.stack.state import choose_port


@pytest.fixture(scope="module")
def gateway(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway for tests that do not stop it."""
    started = Gateway(stack.endpoints, tmp_path_factory.mktemp("gateway"))
    yield started
    started.process.kill()


@pytest.fixture
def key(database: Database) -> str:
    return create_key(database, "test", [Scope.ENQUEUE])[1]


def request(content: bytes, key: str, *, length: int | None = None) -> bytes:
    """A whole request as bytes."""
    head = f"POST /v1/tickets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Length: {len(content) if length is None else length}\r\n\r\n".encode() + content


def entry_ids(inbox: Inbox) -> set[str]:
    """The ids of all entries in the live lane."""
    return {entry.id.decode() for entry in inbox.fetch(Lane.LIVE, "test", 100_000)}


def test_sigterm_finishes_open_requests_and_loses_no_accepted_ticket(
    endpoints: Endpoints, inbox: Inbox, key: str, tmp_path: Path
) -> None:
    gateway = Gateway(endpoints, tmp_path)
    accepted: list[str] = []

    def send_until_refused(start: int) -> None:
        number = start
        while True:
            number += 1
            try:
                if entry := gateway.post(number, key):
                    accepted.append(entry)
            except OSError:
                return

    senders = [threading.Thread(target=send_until_refused, args=(number * 100_000,)) for number in range(4)]
    for sender in senders:
        sender.start()
    whole = request(ticket(1), key)
    with gateway.connect() as halfway:
        halfway.sendall(whole[:-10])
        until(lambda: len(accepted) > 50)
        os.kill(gateway.process.pid, signal.SIGTERM)
        until(lambda: not any(sender.is_alive() for sender in senders))  # no new connection is accepted
        halfway.sendall(whole[-10:])
        answer = b"".join(iter(lambda: halfway.recv(65_536), b""))  # returns when the gateway closes the connection
    assert answer.startswith(b"HTTP/1.1 202")
    accepted.append(json.loads(answer.partition(b"\r\n\r\n")[2])["receipts"][0]["entry_id"])
    until(lambda: gateway.process.exit_status is not None)

    assert gateway.process.exit_status == 0
    assert set(accepted) <= entry_ids(inbox)
    assert len(set(accepted)) == len(accepted)


def test_a_client_that_never_finishes_its_head_or_body_is_disconnected_and_others_are_served(
    gateway: Gateway, key: str
) -> None:
    heads = [gateway.connect() for _ in range(20)]
    bodies = [gateway.connect() for _ in range(5)]
    for head in heads:
        head.sendall(b"POST /v1/tickets HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    for slow in bodies:
        slow.sendall(request(b"{", key, length=1000))

    assert gateway.post(1, key)
    assert all(head.recv(1024).startswith(b"HTTP/1.1 408") for head in heads)
    assert all(slow.recv(1024).startswith(b"HTTP/1.1 408") for slow in bodies)
    for connection in heads + bodies:
        connection.close()


@pytest.mark.parametrize(
    "bad",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of a TLS handshake
        b"GET / HTTP/9\r\n\r\n",
        b"POST /v1/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /v1/tickets HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"POST /v1/webhooks/%ff%00 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["TLS", "version", "negative length", "two lengths", "huge length", "huge head", "odd path"],
)
def test_invalid_http_is_refused_and_others_are_served(gateway: Gateway, key: str, bad: bytes) -> None:
    with gateway.connect() as client:
        client.sendall(bad)
        assert client.recv(1024).startswith(b"HTTP/1.1 4")

    assert gateway.post(1, key)


def test_clients_that_disconnect_midway_do_no_harm(gateway: Gateway, inbox: Inbox, key: str) -> None:
    for _ in range(20):
        with gateway.connect() as client:
            client.sendall(request(ticket(1)[:-5], key, length=len(ticket(1))))
    with gateway.connect() as client:
        client.sendall(request(ticket(2), key))  # disconnect without waiting for the answer

    accepted = gateway.post(3, key)
    assert accepted in entry_ids(inbox)
    assert "Traceback" not in gateway.process.log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")
def test_it_fits_in_256_mib(gateway: Gateway, key: str) -> None:
    for number in range(50):
        gateway.post(number, key)
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

    assert peak / 1024 < 256


def test_check_reports_whether_a_gateway_answers(
    gateway: Gateway, bare: Triagem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_GATEWAY_PORT", str(gateway.port))
    assert bare("gateway", "--check").status == 0
    monkeypatch.setenv("TRIAGEM_GATEWAY_PORT", str(choose_port()))
    answer = bare("gateway", "--check")
    assert (answer.status, len(answer.err.splitlines())) == (1, 1)


def test_check_requests_only_the_gateways_liveness(
    gateway: Gateway, bare: Triagem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_GATEWAY_PORT", str(gateway.port))
    bare("gateway", "--check")
    until(lambda: "/health" in gateway.process.log.read_text())
    assert set(re.findall(r"/health[\w/]*", gateway.process.log.read_text())) == {"/health/live"}


def test_a_port_in_use_is_reported_in_one_line(
    gateway: Gateway, triagem: Triagem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_GATEWAY_PORT", str(gateway.port))
    assert_one_line(triagem("gateway"), str(gateway.port), "TRIAGEM_GATEWAY_PORT")
