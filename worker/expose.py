"""`GET /metrics` on a port of its own: what a process counts, for Prometheus."""

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from triagem.contracts.errors import InvalidInput


def expose(host: str, port: int, registry: CollectorRegistry = REGISTRY) -> None:
    """Answer in a thread of its own until the process ends. Raises InvalidInput if nobody can listen there."""
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        raise InvalidInput(
            f"metrics cannot be had on {host}, port {port} ({error.strerror}): set TRIAGEM_METRICS_HOST or "
            "TRIAGEM_METRICS_PORT, another port for each process"
        ) from None
