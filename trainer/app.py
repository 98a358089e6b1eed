"""The Celery application of `triagem trainer`. Its one task only wakes the trainer, which takes jobs from Postgres.

`celery -A triagem.trainer.app worker -Q train -c 1` works: `app` is created on first access, for the configured
servers.
"""

import os
import signal
import threading
from typing import Any, Final

import structlog
from celery import Celery, bootsteps, shared_task, signals
from celery.worker import state
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from triagem import servers
from triagem.broker import TRAIN_QUEUE, app_for_commands, broker_url, make_app, run_celery_worker
from triagem.db.revision import require_current
from triagem.registry import Registry, RegistrySettings
from triagem.trainer.jobs.trainer import Trainer
from triagem.trainer.settings import TrainerSettings

log = structlog.get_logger(__name__)

_STOP_S: Final = 30.0


def trainer_app(url: str) -> Celery:
    """The Celery application of a trainer. Raises InvalidInput."""
    app = make_app(url)
    app.conf.update(task_default_queue=TRAIN_QUEUE, worker_pool="solo")
    app.steps["worker"].add(TrainerStep)
    return app


def run_trainer() -> int:
    """Run until SIGTERM or SIGINT; returns the exit status, 1 if the trainer failed. Raises NotMigrated."""
    with servers.database() as database:
        require_current(database)
    app = trainer_app(broker_url())
    signals.worker_ready.connect(lambda **_: log.info("trainer_ready", queue=TRAIN_QUEUE), weak=False)
    status = run_celery_worker(app, TRAIN_QUEUE, pool="solo")
    return 1 if app.trainer_failed.is_set() else status


def wake_trainer(url: str) -> bool:
    """Send the message that makes an idle trainer look for a job now. Returns False if the broker does not take it.

    Without the message, it finds the job at its next poll.
    """
    with make_app(url) as app:
        try:
            app.send_task("triagem.train", expires=TrainerSettings().poll_every_s, retry=False)
        except (OperationalError, RedisError):
            return False
    return True


class TrainerStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Runs the trainer of the configured servers in a thread. If the thread fails, the Celery worker ends."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        parent.app.trainer = None
        parent.app.trainer_failed = threading.Event()

    def start(self, parent: Any) -> None:
        work_dir = Registry(RegistrySettings().registry_url).work_dir
        parent.app.trainer = Trainer(servers.database(), work_dir, TrainerSettings())
        self.thread = threading.Thread(target=self._run, args=[parent.app], name="trainer", daemon=True)
        self.thread.start()

    def stop(self, parent: Any) -> None:
        if parent.app.trainer:
            parent.app.trainer.stop()
            self.thread.join(_STOP_S)

    terminate = stop

    def _run(self, app: Any) -> None:
        try:
            app.trainer.run()
        except Exception:
            log.exception("trainer_failed")
            app.trainer_failed.set()
            state.should_stop = 1
            os.kill(os.getpid(), signal.SIGTERM)  # interrupts the poll of the main thread


@shared_task(name="triagem.train", bind=True)  # type: ignore[untyped-decorator]
def wake(task: Any) -> None:
    """Look for a job now."""
    if task.app.trainer:
        task.app.trainer.wake()


def __getattr__(name: str) -> Any:
    if name == "app":  # not at import time: importing a module must not read the environment
        globals()["app"] = app = app_for_commands(lambda: trainer_app(broker_url()))
        return app
    raise AttributeError(name)
