"""Remote control: nudges only. What should be is stored (registry, inbox); a broadcast reaches only who listens."""

from typing import Any

from celery.worker.control import control_command, inspect_command


@control_command()  # type: ignore[untyped-decorator]
def reload_model(state: Any) -> dict[str, str]:
    """Look at the registry now, not at the next turn."""
    pipeline = _pipeline(state)
    if pipeline is None:
        return {"error": "this worker runs no pipe"}
    pipeline.keeper.nudge()
    return {"ok": "looking at the registry"}


@inspect_command()  # type: ignore[untyped-decorator]
def pipe_stats(state: Any) -> dict[str, object]:
    """What the pipe of this worker is doing."""
    pipeline = _pipeline(state)
    return pipeline.stats() if pipeline else {"error": "this worker runs no pipe"}


def _pipeline(state: Any) -> Any:
    return getattr(state.consumer.controller, "pipeline", None)  # an ops worker has none
