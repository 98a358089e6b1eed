"""A gateway process refuses attackers early, and serves all other clients."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.gateway_process import ATTACKER, Gateway, head, read_answer, ticket
from triagem.db import Database
from triagem.db.auth import Scope, create_key
from triagem.stack import Endpoints, LocalStack

MIB = 1024 * 1024
MANY_LISTS = b"[" + b"[]," * (8 * MIB // 3 - 1) + b"[]]"
PATIENT = {"TRIAGEM_GATEWAY_OPEN_PREDICT": "false", "TRIAGEM_GATEWAY_RECEIVE_TIMEOUT_S": "60"}
IMPATIENT = {"TRIAGEM_GATEWAY_RECEIVE_TIMEOUT_S": "0.5", "TRIAGEM_GATEWAY_SEND_TIMEOUT_S": "0.5"}


@pytest.fixture(scope="module")
def gateway(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose `/predict` needs a key, and which waits long for requests."""
    started = Gateway(stack.endpoints, tmp_path_factory.mktemp("gateway"), **PATIENT)
    yield started
    started.process.kill()


@pytest.fixture(scope="module")
def impatient(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that waits half a second."""
    started = Gateway(stack.endpoints, tmp_path_factory.mktemp("impatient"), **IMPATIENT)
    yield started
    started.process.kill()


@pytest.fixture
def key(database: Database) -> str:
    return create_key(database, "test", [Scope.ENQUEUE])[1]


@pytest.fixture
def other_key(database: Database) -> str:
    return create_key(database, "other", [Scope.ENQUEUE])[1]


class TestBodies:
    @pytest.mark.parametrize("path", ["/predict", "/v1/tickets", "/v1/webhooks/none", "/console/ticket", "/nowhere"])
    def test_without_credentials_the_answer_does_not_wait_for_the_body(self, gateway: Gateway, path: str) -> None:
        answer = gateway.send(head(path, 8 * MIB))

        assert answer.status in {401, 303, 404}

    def test_without_a_key_malformed_json_is_401(self, gateway: Gateway) -> None:
        as_json = "Content-Type: application/json"

        assert gateway.send(head("/predict", 1, None, as_json), b"{").status == 401

    @pytest.mark.parametrize("size", [20_000, 8 * MIB])
    def test_a_large_login_form_is_refused_and_not_parsed(self, gateway: Gateway, size: int) -> None:
        form = head("/console/login", size, None, "Content-Type: application/x-www-form-urlencoded")

        assert gateway.send(form, (b"a=%41&" * size)[:10_000]).status == 413

    def test_a_login_form_with_many_fields_is_refused(self, gateway: Gateway) -> None:
        fields = b"a=%41&" * 1000

        assert gateway.send(head("/console/login", len(fields)), fields).status == 422

    def test_bodies_of_millions_of_values_are_refused_and_not_kept(self, gateway: Gateway, key: str) -> None:
        answers = [gateway.send(head("/v1/tickets", len(MANY_LISTS), key), MANY_LISTS) for _ in range(20)]

        assert {answer.status for answer in answers} == {422}
        assert b"more than 100,000 values" in answers[0].body
        assert peak_mib(gateway) < 200

    def test_unfinished_large_bodies_of_one_key_do_not_stop_another(
        self, gateway: Gateway, key: str, other_key: str
    ) -> None:
        with ExitStack() as connections:
            for _ in range(5):
                connection = connections.enter_context(gateway.connect(ATTACKER))
                connection.sendall(head("/v1/tickets", 8 * MIB, key))
                send_some(connection, b" " * (8 * MIB - 1))
            large = ticket(1) + b" " * MIB

            assert gateway.post(1, key)
            assert gateway.send(head("/v1/tickets", len(large), other_key), large).status == 202

    @pytest.mark.parametrize("start", [b"[", b" " * MIB], ids=["small", "large"])
    def test_a_body_that_stops_arriving_is_408(self, impatient: Gateway, key: str, start: bytes) -> None:
        answer = impatient.send(head("/v1/tickets", 8 * MIB, key), start)

        assert answer.status == 408
        assert answer.is_problem

    def test_a_body_in_many_tiny_chunks_is_refused(self, impatient: Gateway, key: str) -> None:
        start = head("/v1/tickets", 0, key).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")

        assert impatient.send(start + b"1\r\n \r\n" * 1100).status == 400

    def test_a_head_of_many_headers_is_refused(self, impatient: Gateway) -> None:
        assert impatient.send(head("/health/live", 0, None, *["X: y"] * 90, method="GET")).status == 200
        assert impatient.send(head("/health/live", 0, None, *["X: y"] * 200, method="GET")).status == 400

    def test_a_body_that_arrives_byte_by_byte_is_408(self, impatient: Gateway, key: str) -> None:
        with impatient.connect(ATTACKER) as slow:
            slow.sendall(head("/v1/tickets", 8 * MIB, key))
            slow.settimeout(0.1)
            answer = b""
            while not answer:
                slow.sendall(b" ")
                with suppress(TimeoutError):
                    answer = slow.recv(65_536)

        assert answer.startswith(b"HTTP/1.1 408")


def send_some(connection: socket.socket, content: bytes) -> None:
    """Send the content, or as much of it as the gateway reads."""
    connection.settimeout(10)
    with suppress(OSError):
        connection.sendall(content)


def peak_mib(gateway: Gateway) -> float:
    lines = Path(f"/proc/{gateway.process.pid}/status").read_text()
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", lines)
    return int(peak) / 1024


class TestConnections:
    def test_one_client_has_a_limited_number_and_others_are_served(self, impatient: Gateway, key: str) -> None:
        with ExitStack() as connections:
            silent = [connections.enter_context(impatient.connect(ATTACKER)) for _ in range(110)]
            answer = read_answer(silent[-1])

            assert answer.status == 429
            assert answer.is_problem
            assert answer.headers["Retry-After"]
            assert impatient.post(1, key)
            assert read_answer(silent[0]).status == 408

    def test_over_the_limit_of_all_clients_the_answer_is_a_problem(
        self, endpoints: Endpoints, tmp_path: Path
    ) -> None:
        small = Gateway(endpoints, tmp_path, **PATIENT, TRIAGEM_GATEWAY_MAX_CONNECTIONS="2")
        with small.connect(), small.connect():
            answer = small.send(head("/v1/tickets", 0))
            refused = [small.connect() for _ in range(300)]  # all are open at once until they have their answers
            statuses = {read_answer(connection).status for connection in refused}
        small.process.kill()

        assert answer.status == 503
        assert answer.is_problem
        assert answer.headers["Retry-After"]
        assert statuses == {503}

    def test_behind_a_trusted_proxy_each_client_has_its_own_limit(
        self, endpoints: Endpoints, key: str, tmp_path: Path
    ) -> None:
        proxied = Gateway(
            endpoints,
            tmp_path,
            TRIAGEM_GATEWAY_TRUSTED_PROXIES="127.0.0.1",
            TRIAGEM_GATEWAY_MAX_CONNECTIONS_PER_CLIENT="2",
        )
        with ExitStack() as connections:

            def unfinished(client: str, forwarded: str) -> socket.socket:
                connection = connections.enter_context(proxied.connect(client))
                connection.sendall(head("/v1/tickets", 2, key, f"X-Forwarded-For: {forwarded}") + b"{")
                return connection

            for _ in range(2):
                unfinished("127.0.0.1", "198.51.100.1")
            refused = read_answer(unfinished("127.0.0.1", "198.51.100.1"))
            other = unfinished("127.0.0.1", "198.51.100.2")
            other.sendall(b"}")
            for number in range(2):
                unfinished(ATTACKER, f"198.51.100.{number + 3}")
            forger = read_answer(unfinished(ATTACKER, "198.51.100.9"))

            assert refused.status == 429
            assert read_answer(other).status == 422
            assert forger.status == 429
        proxied.process.kill()

    def test_an_answer_that_nobody_reads_is_given_up(self, impatient: Gateway) -> None:
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", impatient.port))

            def ask_again_and_again() -> None:
                while True:
                    lazy.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)

            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                ask_again_and_again()
