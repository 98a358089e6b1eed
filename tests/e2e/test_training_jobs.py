"""Training jobs in real trainers with a real small BERT: each job is done once, even if a process is killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, StartWorker
from tests.support.processes import descendants, process_parents
from tests.support.training import tiny_base, write_made_up
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.db import Database, training_jobs
from triagem.db.training_jobs import JobKind, TrainingJob
from triagem.registry import Registry
from triagem.stack import Endpoints
from triagem.trainer.app import wake_trainer

Request = Callable[..., TrainingJob]
Now = Callable[[], TrainingJob]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An empty registry."""
    return tmp_path / "models"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Parameters of a full training: labelled rows, and a base that trains in seconds."""
    folder = tmp_path_factory.mktemp("material")
    (folder / "data").mkdir()
    data = write_made_up(folder / "data", "suporte", "venda")
    settings = {"folds": 0, "eval_steps": 10, "warmup_steps": 0, "learning_rate": 1e-3}
    return {"data": str(data), "base": tiny_base(folder / "base"), "settings": settings}


@pytest.fixture
def request_job(database: Database, material: dict[str, Any]) -> Request:
    """Requests a full training of this number of steps."""

    def request(steps: int = 20) -> TrainingJob:
        parameters = material | {"settings": material["settings"] | {"min_steps": steps}}
        return training_jobs.request(database, JobKind.FULL, requested_by="ana", parameters=parameters)[0]

    return request


@pytest.fixture
def start_trainer(start_worker: StartWorker, models: Path) -> Callable[..., WorkerProcess]:
    """Starts `triagem trainer`."""
    return lambda **settings: start_worker(
        models,
        command="trainer",
        **({"TRIAGEM_TRAINER_LEASE_S": "2", "TRIAGEM_TRAINER_POLL_EVERY_S": "0.5"} | settings),
    )


def now(database: Database, job: TrainingJob) -> TrainingJob:
    current = training_jobs.find(database, job.id)
    assert current
    return current


def is_training(database: Database, job: TrainingJob, fraction: float = 0.0) -> bool:
    current = now(database, job)
    assert current.state != "failed", current.error
    return current.stage == "train" and current.fraction > fraction


@pytest.mark.parametrize("victim", ["the trainer", pytest.param("the process of the job", marks=pytest.mark.slow)])
def test_a_training_that_is_killed_resumes_and_registers_one_version(
    database: Database, models: Path, request_job: Request, start_trainer: Callable[..., WorkerProcess], victim: str
) -> None:
    trainer = start_trainer()
    job = request_job(steps=100)
    until(lambda: is_training(database, job, fraction=0.2), seconds=240)
    (training,) = descendants(trainer.pid)

    if victim == "the trainer":
        os.kill(trainer.pid, signal.SIGKILL)
        until(lambda: training not in process_parents())  # the process ends because its parent has ended
        trainer = start_trainer()
    else:
        os.kill(training, signal.SIGKILL)
    until(lambda: now(database, job).attempts == 2, seconds=60)
    until(lambda: not now(database, job).active, seconds=240)

    done, registry = now(database, job), Registry(models)
    assert (done.state, done.error, done.stage, done.version) == ("done", None, "promoted", "v1.0.0")
    assert registry.versions() == ["v1.0.0"]
    assert len(registry.promotions()) == 1
    first_step = int(re.findall(r'"step": (\d+)', trainer.log.read_text().rpartition("training_job_started")[2])[0])
    assert first_step >= 10  # it resumed from a checkpoint
    until(lambda: not list(models.glob(".job-*")))


def test_a_trainer_that_is_asked_to_stop_puts_the_training_back_into_the_queue(
    database: Database, request_job: Request, start_trainer: Callable[..., WorkerProcess]
) -> None:
    trainer = start_trainer()
    job = request_job(steps=100_000)
    until(lambda: is_training(database, job), seconds=240)

    os.kill(trainer.pid, signal.SIGTERM)

    until(lambda: trainer.exit_status is not None, seconds=90)
    assert trainer.exit_status == 0
    assert (now(database, job).state, now(database, job).attempts) == ("queued", 0)


def test_a_training_that_cannot_run_fails_with_one_line(
    database: Database, start_trainer: Callable[..., WorkerProcess]
) -> None:
    job, _ = training_jobs.request(database, JobKind.FULL, requested_by="ana")
    start_trainer()

    until(lambda: not now(database, job).active, seconds=60)

    assert now(database, job).error == (
        "there is nothing to train on: review texts, or set TRIAGEM_TRAINER_DATA to a folder of labelled rows"
    )


def test_a_message_wakes_an_idle_trainer_that_celery_started(
    database: Database, endpoints: Endpoints, models: Path
) -> None:
    environment = os.environ | endpoints.settings
    environment |= {
        "TRIAGEM_REGISTRY_URL": str(models),
        "TRIAGEM_TRAINER_POLL_EVERY_S": "600",
        "PYTHONPATH": str(ROOT),
    }
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "triagem.trainer.app",
        "worker",
        "-Q",
        "train",
        "-c",
        "1",
        "-l",
        "INFO",
    ]
    trainer = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert any("ready" in line for line in trainer.stdout or ())
        job, _ = training_jobs.request(database, JobKind.FULL, requested_by="ana")
        wake_trainer(endpoints.broker_url)
        until(lambda: not now(database, job).active, seconds=60)
    finally:
        trainer.terminate()
        trainer.communicate(timeout=60)
    assert trainer.returncode == 0
