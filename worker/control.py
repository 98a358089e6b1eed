"""Celery remote-control commands, hints only. Desired state is stored in the registry and the inbox, because a
broadcast reaches only the workers that are connected."""

from typing import Any

from celery.worker.control import control_command, inspect_command


@control_command()  # type: ignore[untyped-decorator]
def reload_model(state: Any) -> dict[str, str]:
    """Check the registry now instead of at the next poll."""
    pipeline = _pipeline(state)
    if pipeline is None:
        return {"error": "this worker runs no pipeline"}
    pipeline.models.request_reload()
    return {"ok": "checking the registry"}


@inspect_command()  # type: ignore[untyped-decorator]
def pipeline_stats(state: Any) -> dict[str, object]:
    """State and throughput of this worker's pipeline."""
    pipeline = _pipeline(state)
    return pipeline.stats() if pipeline else {"error": "this worker runs no pipeline"}


def _pipeline(state: Any) -> Any:
    return getattr(state.consumer.controller, "pipeline", None)  # an ops worker has none
