"""Configures logging to standard error, and formats tracebacks without the messages that may hold user data.

Logs contain no customer text and no password, so tracebacks are logged without messages. If an address is set, spans
of requests and windows are sent to OpenTelemetry and errors to Sentry. They are made from log lines only, so they
cannot contain more.
"""

import atexit
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

import structlog
from pydantic import Field, SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from triagem.cli.output import printable
from triagem.contracts.errors import MissingExtra, TriagemError
from triagem.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext, Tracer


_ENCODER: Final = json.JSONEncoder(default=repr)
_STAGES: Final = ("queue", "tokenize", "model", "commit")


class TelemetrySettings(Settings, used_by="gateway, worker, ops, beat, trainer"):
    """`TRIAGEM_TRACES_URL` and `TRIAGEM_SENTRY_DSN`."""

    traces_url: str | None = Field(
        default=None,
        description="OTLP/HTTP address of an OpenTelemetry collector, such as http://127.0.0.1:4318/v1/traces; "
        "needs `triagem[traces]`",
    )
    sentry_dsn: SecretStr | None = Field(
        default=None, description="DSN of a Sentry project that gets errors; needs `triagem[sentry]`"
    )


def processors(process: str) -> Iterator[Processor]:
    """structlog processors that send spans or errors, according to the settings. Raises MissingExtra."""
    settings = TelemetrySettings()
    try:
        if settings.traces_url:
            yield partial(_send_spans, _tracer(settings.traces_url, process))
        if settings.sentry_dsn:
            import sentry_sdk

            # Disable integrations: they read requests, local variables, arguments and messages of exceptions.
            dsn = settings.sentry_dsn.get_secret_value()
            sentry_sdk.init(dsn, default_integrations=False, auto_enabling_integrations=False, max_breadcrumbs=0)
            atexit.register(sentry_sdk.flush, 2.0)
            yield _send_error
    except ModuleNotFoundError as error:
        extra, setting = ("traces", "TRACES_URL") if "opentelemetry" in str(error.name) else ("sentry", "SENTRY_DSN")
        raise MissingExtra(f"TRIAGEM_{setting} is set: run pip install 'triagem[{extra}]', or unset it") from None


def _tracer(url: str, process: str) -> "Tracer":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"triagem-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    return provider.get_tracer("triagem")


def _send_spans(tracer: "Tracer", _: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Send the span of a request, or of a window and its stages."""
    from opentelemetry.trace import Link, NonRecordingSpan, set_span_in_context

    values, end = {name: value for name, value in event.items() if isinstance(value, str | int)}, time.time_ns()
    if event["event"] == "request" and {"ms", "method", "request_id"} <= event.keys():
        name, start = f"{event['method']} {event.get('route') or '-'}", end - _ns(event["ms"])
        parent = set_span_in_context(NonRecordingSpan(_trace(event["request_id"])))
        tracer.start_span(name, parent, attributes=values, start_time=start).end(end)
    elif event["event"] == "window" and "commit_ms" in event:
        lengths = {stage: _ns(event[f"{stage}_ms"]) for stage in _STAGES}
        start, links = end - sum(lengths.values()), [Link(_trace(name)) for name in event.get("requests", ())]
        window = tracer.start_span("window", links=links, attributes=values, start_time=start)
        for stage, length in lengths.items():
            context = set_span_in_context(window)
            tracer.start_span(stage, context, start_time=start).end(start := start + length)
        window.end(end)
    return event


def _trace(request_id: str) -> "SpanContext":
    """The trace id of a request, derived from the request id: it is the same in each process."""
    from opentelemetry.trace import SpanContext, TraceFlags

    digest = sha256(request_id.encode()).digest()
    trace, span = int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")
    return SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _ns(milliseconds: float) -> int:
    return int(milliseconds * 1_000_000)


def _send_error(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Send an error's log line."""
    import sentry_sdk

    if event.get("level") in {"error", "critical"}:
        level: Literal["fatal", "error"] = "fatal" if event["level"] == "critical" else "error"
        tags = {"process": str(event.get("process"))}
        sentry_sdk.capture_event({"level": level, "message": str(event["event"]), "tags": tags, "extra": {**event}})
    return event


_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"


def format_traceback(error: BaseException) -> str:
    """Format a traceback as Python does, chained exceptions included, with the type in place of each message."""
    formatted: set[int] = set()

    def format_chain(current: BaseException) -> str:
        formatted.add(id(current))
        previous, link = current.__cause__, _CAUSE
        if previous is None and not current.__suppress_context__:
            previous, link = current.__context__, _CONTEXT
        first = "" if previous is None or id(previous) in formatted else format_chain(previous) + link
        frames = "".join(traceback.format_tb(current.__traceback__))
        members = "".join(map(format_chain, current.exceptions)) if isinstance(current, BaseExceptionGroup) else ""
        return f"{first}Traceback (most recent call last):\n{frames}{_name(current)}\n{members}"

    return format_chain(error).rstrip()


def strip_exception_messages(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A structlog processor: replaces `exc_info` with `exception`, formatted by `format_traceback`."""
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["exception"] = format_traceback(error)
    return event


def escape_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape control characters for terminals: a name from a CRM must not move the cursor. JSON needs no escaping."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    """A line of JSON, as structlog's JSONRenderer makes it. That one creates an encoder for each line."""
    return _ENCODER.encode(event)


def _name(error: BaseException) -> str:
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    return f"{name}: {error}" if isinstance(error, TriagemError) else name


class _LineLogger:
    """Writes rendered lines to standard error. A record of the standard library's logging takes three times as long.

    Write errors, such as a full disk, are ignored, as `logging` does. No lock is needed, because Python writes each
    line as a whole. A lock would be a risk: a process forked while another thread holds it would wait forever.
    """

    def __init__(self, name: str = "root") -> None:
        self.name, self._stream = name, sys.stderr

    def info(self, line: str) -> None:
        """Write a line; structlog calls the method of the line's level."""
        with suppress(OSError, ValueError):  # ValueError: closed
            self._stream.write(f"{line}\n")

    debug = warning = error = critical = info


_QUIET = (
    "celery",
    "kombu",
    "alembic",
    "httpx",
    "httpx2",
    "transformers",
    "datasets",
    "filelock",
    "fsspec",
    "urllib3",
    "uvicorn",
)


def configure(level: int, process: str = "triagem", *, send: Iterable[Processor] = ()) -> None:
    """Route structlog and the standard library's logging through one renderer, at `level` and above.

    Args:
        process: the name of this process, in each line.
        send: processors that also send lines to other places.
    """

    def add_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {**event, "process": process, "pid": os.getpid()}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        add_process,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    ]
    render: list[Processor] = [strip_exception_messages, *send]
    if sys.stderr.isatty():
        render += [escape_controls, structlog.dev.ConsoleRenderer()]
    else:
        render += [_render_json]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_LineLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render]
        )
    )
    logging.raiseExceptions = False  # otherwise logging prints a record that it cannot format, with all its arguments
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if level < logging.INFO else logging.WARNING)
