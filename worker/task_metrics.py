"""Prometheus metrics of the ops tasks, counted in the processes that run them. Celery imports this module by name.

Another process serves `/metrics`. PROMETHEUS_MULTIPROC_DIR, set before this import, makes prometheus-client count in
files, which that process adds up.
"""

import time
from typing import Any, Final

from celery import current_app, signals
from prometheus_client import Counter, Histogram

TASKS: Final = Counter("triagem_tasks", "Finished tasks by state: success, failure, retry", ["task", "state"])
TASK_SECONDS: Final = Histogram(
    "triagem_task_seconds",
    "Duration of a task, including failed ones",
    ["task"],
    buckets=(0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 180),
)

_began: dict[str, float] = {}


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _from_zero(**_: Any) -> None:
    """Create every series at 0, so that Prometheus sees the first failure as an increase."""
    for task in [name for name in current_app.tasks if name.startswith("triagem.")]:
        for state in ("success", "failure", "retry"):
            TASKS.labels(task, state)


@signals.task_prerun.connect  # type: ignore[untyped-decorator]
def _begin(task_id: str, **_: Any) -> None:
    _began[task_id] = time.perf_counter()


@signals.task_postrun.connect  # type: ignore[untyped-decorator]
def _end(task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
    TASKS.labels(task.name, (state or "failure").lower()).inc()
    if (began := _began.pop(task_id, None)) is not None:
        TASK_SECONDS.labels(task.name).observe(time.perf_counter() - began)
