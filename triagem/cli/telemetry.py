"""Sends spans of requests and windows to OpenTelemetry and errors to Sentry, if an address is set.

Spans and errors are made from log lines only. Logs exclude texts and the messages of libraries' exceptions, so these
cannot be sent either.
"""

import atexit
import time
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field, SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from triagem.contracts.errors import MissingExtra
from triagem.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext, Tracer

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
