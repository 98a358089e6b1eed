"""Traces and errors reach a collector and a Sentry server, without any text."""

import io
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
import sentry_sdk
import structlog

from tests.support.builders import NOW, fake_inbox
from tests.support.gateway import client, services
from tests.support.receiver import Receiver
from tests.support.waiting import until
from tests.support.windows import result
from triagem.cli import logs
from triagem.cli.logs import processors
from triagem.contracts.errors import MissingExtra
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.auth import Scope
from triagem.gateway import request_middleware
from triagem.inbox import Entry
from triagem.worker import window_log
from triagem.worker.batch import StageTimings

TEXT = "paralelepipedo"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().open() as opened:
        yield opened


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Configures logging as a service does; undoes it after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: logs.configure(logging.INFO, "worker", send=processors("worker"))
    sentry_sdk.get_client().close(0)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def bodies(receiver: Receiver) -> bytes:
    return b"".join(request.body for request in receiver.received)


def test_a_request_and_its_window_are_one_trace_with_a_span_for_each_stage(
    database: Database, receiver: Receiver, logged: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_TRACES_URL", f"{receiver.url}/v1/traces")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    for module in (window_log, request_middleware):  # a logger keeps the configuration of its first use
        monkeypatch.setattr(module, "log", structlog.get_logger(module.__name__))
    logged()
    http = client(services(database, fake_inbox()), Scope.ENQUEUE)
    body = {
        "source": TEXT,
        "external_id": TEXT,
        "text": TEXT,
        "metadata": {"from": TEXT},
        "revised_at": f"{NOW:%FT%TZ}",
    }
    assert http.post(f"/v1/tickets?x={TEXT}", json=body, headers={"X-Request-Id": "r-1"}).status_code == 422
    assert http.post("/v1/tickets", json=body, headers={"X-Request-Id": "r-1"}).status_code == 202
    entry = Entry(b"1-0", Lane.LIVE, TEXT.encode(), request_id="r-1")
    window_log.WindowLog().log_window(
        [(entry, result(TEXT))], StageTimings(0.1, 0.02, 0.3), commit_s=0.004, dropped=0, dead=0
    )

    until(lambda: all(name in bodies(receiver) for name in (b"POST /v1/tickets", b"tokenize", b"commit")))
    trace = logs._trace("r-1").trace_id.to_bytes(16, "big")
    assert bodies(receiver).count(trace) == 3  # two requests, and the window that links to them
    assert b"triagem-worker" in bodies(receiver)
    assert TEXT.encode() not in bodies(receiver)


def test_an_error_is_sent_to_sentry_without_the_messages_of_exceptions(
    receiver: Receiver, logged: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_SENTRY_DSN", f"{receiver.url.replace('//', '//key@')}/1")
    monkeypatch.setattr("sentry_sdk.transport.HttpTransport._serialize_envelope", uncompressed)
    logged()
    text = TEXT  # the value of a local variable
    try:
        raise ValueError(text)
    except ValueError:
        structlog.get_logger("triagem.worker").exception("window_failed", window="w-1")
        logging.getLogger("a.library").warning("not an error")
    sentry_sdk.flush(10)

    assert all(part in bodies(receiver) for part in (b"window_failed", b"w-1", b"ValueError", b'"process":"worker"'))
    assert b"not an error" not in bodies(receiver)
    assert TEXT.encode() not in bodies(receiver)


def uncompressed(_: object, envelope: sentry_sdk.envelope.Envelope) -> tuple[None, object]:
    return None, io.BytesIO(envelope.serialize())


@pytest.mark.parametrize("setting", ["TRIAGEM_TRACES_URL", "TRIAGEM_SENTRY_DSN"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv(setting, "http://key@127.0.0.1:1/1")
    for package in ("sentry_sdk", "opentelemetry.sdk.trace"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=f"{setting} is set: run pip install"):
        list(processors("worker"))
