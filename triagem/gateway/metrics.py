"""Every metric of the gateway, named and explained once. A route is its template: no path, no key, no source."""

from typing import Final

from prometheus_client import Counter, Histogram, start_http_server

from triagem.contracts.errors import InvalidInput

REQUESTS: Final = Counter("triagem_http_requests", "Requests that were answered", ["route", "method", "status"])
SECONDS: Final = Histogram(
    "triagem_http_request_seconds",
    "From a request's head to the end of its answer",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
TICKETS: Final = Counter("triagem_http_tickets", "Tickets that requests brought, also those that were refused")

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def answered(*, route: str | None, method: str, status: int, seconds: float, tickets: int) -> None:
    """Count one request. `route` is None where there is none: then anybody chose the path."""
    route = route or "none"
    REQUESTS.labels(route, method if method in _METHODS else "other", str(status)).inc()
    SECONDS.labels(route).observe(seconds)
    TICKETS.inc(tickets)


def expose(host: str, port: int) -> None:
    """`GET /metrics` on a port of its own, without a key. Raises InvalidInput if nobody can listen there."""
    try:
        start_http_server(port, host)
    except OSError as error:
        raise InvalidInput(
            f"metrics cannot be had on {host}, port {port} ({error.strerror}): set TRIAGEM_METRICS_HOST or "
            "TRIAGEM_METRICS_PORT, another port for each process"
        ) from None
