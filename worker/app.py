"""The worker's Celery application: JSON only, late acknowledgement, bounded waits; and its remote-control commands.

Celery provides processes, signals and remote control; tickets never travel as Celery messages.
`celery -A triagem.worker.app inspect ping` works: `app` is created on first access, for the configured servers.
"""

import os
import socket
import warnings
from typing import Any, Final

from celery import Celery, bootsteps, signals
from celery.beat import Scheduler
from celery.exceptions import SecurityWarning
from celery.worker.control import control_command, inspect_command

from triagem.worker.settings import broker_for_celery, broker_url

# Workers fetch from the inbox; nothing is ever sent to this queue. A Redis key: ACLs of running systems name it.
QUEUE: Final = "pipe"
OPS_QUEUE: Final = "ops"  # all our tasks, from whichever application they are sent


def make_app(url: str) -> Celery:
    """A Celery application on this broker. Raises InvalidInput."""
    app = Celery("triagem", broker=broker_for_celery(url))
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue=QUEUE,
        task_routes={"triagem.*": {"queue": OPS_QUEUE}},
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": 240,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 30,
        },
        timezone="UTC",
    )
    return app


def run_celery_worker(app: Celery, queue: str, *, pool: str) -> int:
    """Run a Celery worker in this process until SIGTERM or SIGINT; returns its exit status."""
    # Running as root is safe without pickle, which this application rejects.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # Any receiver keeps Celery from configuring logging, which would raise the level to WARNING.
    signals.setup_logging.connect(_keep_logging)
    worker = app.Worker(
        pool=pool,
        concurrency=1,  # for more, start more processes
        queues=[queue],
        without_gossip=True,
        without_mingle=True,
        hostname=f"{queue}-{os.getpid()}@{socket.gethostname()}",  # docs/explanation/security.md: a prefix of keys
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _keep_logging(**_: object) -> None:
    """The entry point has already configured logging."""


class _NoPipeline(bootsteps.Step):  # type: ignore[misc]
    """Ends `celery -A triagem.worker.app worker`, which would run without a pipeline."""

    def __init__(self, _: Any, **__: Any) -> None:
        raise SystemExit("start workers with `triagem worker`")


class _NoSchedule(Scheduler):  # type: ignore[misc]
    """Ends `celery -A triagem.worker.app beat`, which would schedule nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise SystemExit("start the schedule with `triagem beat` or `celery -A triagem.ops.app beat`")


def __getattr__(name: str) -> Any:
    if name == "app":  # not at import time, when nothing may be read from the environment
        app = make_app(broker_url())
        app.steps["worker"].add(_NoPipeline)
        app.conf.beat_scheduler = _NoSchedule
        globals()["app"] = app
        return app
    raise AttributeError(name)


# Remote-control commands are hints only. Desired state is stored in the registry and the inbox, because a broadcast
# reaches only the workers that are connected.
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
