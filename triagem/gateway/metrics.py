"""The gateway's Prometheus metrics. The label `route` is the route's template: never a path, key or source."""

from functools import cache
from typing import Final

from prometheus_client import Counter, Histogram

REQUESTS: Final = Counter("triagem_http_requests", "Answered requests", ["route", "method", "status"])
SECONDS: Final = Histogram(
    "triagem_http_request_seconds",
    "Seconds from a request's head to the end of its response",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
TICKETS: Final = Counter("triagem_http_tickets", "Tickets received in requests, accepted or not")
REFUSED_CONNECTIONS: Final = Counter(
    "triagem_http_refused_connections",
    "Refused connections: too many of one client, too many in total, or no request in time",
    ["reason"],
)
IGNORED_WEBHOOKS: Final = Counter(
    "triagem_http_ignored_webhooks",
    "Webhooks without a ticket: without a customer's message, or not matched by the CRM file",
    ["source", "reason"],
)

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def record_request(route: str | None, method: str, status: int, seconds: float) -> None:
    """Record one request. `route` is None if no route matched; the path is then an arbitrary string."""
    requests, latency = _series(route or "none", method if method in _METHODS else "other", status)
    requests.inc()
    latency.observe(seconds)


@cache  # prometheus_client's `labels` takes three times as long as `inc`
def _series(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(route, method, str(status)), SECONDS.labels(route)
