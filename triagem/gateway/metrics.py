"""The gateway's Prometheus metrics. A route label is the route's template: never a path, key or source."""

from typing import Final

from prometheus_client import Counter, Histogram, start_http_server

from triagem.contracts.errors import InvalidInput

REQUESTS: Final = Counter("triagem_http_requests", "Answered requests", ["route", "method", "status"])
SECONDS: Final = Histogram(
    "triagem_http_request_seconds",
    "Seconds from a request's head to the end of its response",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
TICKETS: Final = Counter("triagem_http_tickets", "Tickets received in requests, accepted or not")

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def record_request(*, route: str | None, method: str, status: int, seconds: float, tickets: int) -> None:
    """Record one request. `route` is None if no route matched; the path is then an arbitrary string."""
    route = route or "none"
    REQUESTS.labels(route, method if method in _METHODS else "other", str(status)).inc()
    SECONDS.labels(route).observe(seconds)
    TICKETS.inc(tickets)


def expose(host: str, port: int) -> None:
    """Serve `GET /metrics` on a separate port, without a key. Raises InvalidInput if the address cannot be used."""
    try:
        start_http_server(port, host)
    except OSError as error:
        raise InvalidInput(
            f"metrics cannot be served on {host}, port {port} ({error.strerror}): set TRIAGEM_METRICS_HOST or "
            "TRIAGEM_METRICS_PORT; each process needs its own port"
        ) from None
