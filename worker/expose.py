"""Serves `GET /metrics` for Prometheus on a separate port."""

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from triagem.contracts.errors import InvalidInput


def expose_metrics(host: str, port: int, registry: CollectorRegistry = REGISTRY) -> None:
    """Serve in a background thread until the process exits. Raises InvalidInput if the address cannot be bound."""
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        raise InvalidInput(
            f"cannot serve metrics on {host}:{port} ({error.strerror}): set TRIAGEM_METRICS_HOST or "
            "TRIAGEM_METRICS_PORT; each process needs its own port"
        ) from None
