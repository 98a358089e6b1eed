"""The parts that our Celery applications share: the broker, JSON only, late acknowledgement, bounded waits.

Celery provides processes, signals and remote control; tickets never travel as Celery messages.
"""

import os
import socket
import warnings
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import celery.apps.worker
import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning
from pydantic import Field, SecretStr, ValidationError

from triagem import servers
from triagem.contracts.errors import TriagemError
from triagem.inbox.client import check_redis_url
from triagem.process import describe_invalid, secret
from triagem.settings import Settings

log = structlog.get_logger(__name__)

# Workers fetch from the inbox; no message is sent to this queue. ACLs of running systems name this Redis key.
WORKER_QUEUE: Final = "pipe"
OPS_QUEUE: Final = "ops"  # all our tasks except one, whichever application sends them
TRAIN_QUEUE: Final = "train"


class BrokerSettings(Settings, used_by="worker, ops, trainer, beat, commands"):
    """The server of Celery's messages."""

    broker_url: SecretStr | None = Field(
        default=None, description="Celery's Redis; default: the inbox's server, next database number"
    )


def broker_url() -> str:
    """`TRIAGEM_BROKER_URL`, else derived from the Redis URL of the inbox. Raises NotConfigured."""
    url = secret("TRIAGEM_BROKER_URL", BrokerSettings().broker_url)
    return url or default_broker_url(servers.redis_url())


def default_broker_url(redis_url: str) -> str:
    """Default broker URL: the inbox's server with the next database number and the same options."""
    parts = urlsplit(check_redis_url(redis_url, "TRIAGEM_REDIS_URL"))
    return urlunsplit(parts._replace(path=f"/{int(parts.path.strip('/') or 0) + 1}"))


def broker_for_celery(broker_url: str) -> str:
    """The broker URL in the form that Celery needs.

    Without options, Celery verifies no certificate for `rediss://`; and it splits a URL at `;` into several servers.
    Raises InvalidInput.
    """
    parts = urlsplit(check_redis_url(broker_url, "TRIAGEM_BROKER_URL"))
    if parts.scheme == "rediss" and "ssl_cert_reqs=" not in parts.query:
        parts = parts._replace(query=f"{parts.query}&ssl_cert_reqs=required".lstrip("&"))
    return parts.geturl().replace(";", "%3B")


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
        task_default_queue=WORKER_QUEUE,
        task_routes={"triagem.train": {"queue": TRAIN_QUEUE}, "triagem.*": {"queue": OPS_QUEUE}},
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


def app_for_commands(build: Callable[[], Celery]) -> Celery:
    """The application for `celery -A`; an error of the settings ends that command with one line."""
    try:
        return build()
    except TriagemError as error:
        raise SystemExit(f"triagem: {error}") from None
    except ValidationError as error:
        raise SystemExit("\n".join(f"triagem: {line}" for line in describe_invalid(error))) from None


def run_celery_worker(app: Celery, queue: str, *, pool: str) -> int:
    """Run a Celery worker in this process until SIGTERM or SIGINT; returns its exit status."""
    # Running as root is safe without pickle, which this application rejects.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # If this signal has a receiver, Celery does not configure logging. It would raise the level to WARNING.
    signals.setup_logging.connect(_keep_logging)
    celery.apps.worker.safe_say = _log  # it would print "worker: Warm shutdown" as plain text
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


def _log(message: str, *_: object) -> None:
    log.info("celery", message=" ".join(message.split()))
