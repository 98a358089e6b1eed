"""The trainer's loop over real jobs, with stand-ins for their processes."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_training_jobs import found, request
from triagem.db import Database, training_jobs
from triagem.db.training_jobs import TrainingJob
from triagem.trainer.jobs import trainer as module
from triagem.trainer.jobs.trainer import MAX_ATTEMPTS, Trainer, job_folder
from triagem.trainer.settings import TrainerSettings


@dataclass
class StandIn:
    """A process that has ended with `exit_status`, or runs until it is `stopped` by SIGTERM."""

    exit_status: int | None
    stopped: bool = False

    def stop(self, timeout_s: float) -> int:
        self.stopped = self.exit_status is None
        return -15 if self.exit_status is None else self.exit_status


@dataclass
class Rig:
    """A trainer, and the processes that it has started; `on_start` runs in place of each."""

    database: Database
    folder: Path
    settings: TrainerSettings = field(default_factory=TrainerSettings)
    exit_status: int | None = None
    on_start: Callable[[TrainingJob], object] = lambda _: None
    started: list[StandIn] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.trainer = Trainer(self.database, self.folder, self.settings, self.start)

    def start(self, job: TrainingJob, trainer: str) -> Any:
        self.started.append(StandIn(self.exit_status))
        self.on_start(job)
        return self.started[-1]


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TICK_S", 0.01)
    monkeypatch.setattr(module, "_MAX_BACKOFF_S", 0.0)


def test_without_a_job_nothing_is_started(database: Database, tmp_path: Path) -> None:
    rig = Rig(database, tmp_path)

    assert not rig.trainer.run_next()

    assert rig.started == []


def test_a_process_that_is_killed_again_and_again_fails_with_a_diagnosis(database: Database, tmp_path: Path) -> None:
    job = request(database)
    rig = Rig(database, tmp_path, exit_status=-9)

    while rig.trainer.run_next():
        pass

    assert len(rig.started) == MAX_ATTEMPTS
    assert found(database, job).error == (
        "the training process was killed by signal 9 (SIGKILL): by a person, or because memory ran out, at the 10th "
        "attempt; the trainer's log says more"
    )


def test_the_outcome_that_the_process_recorded_stays(database: Database, tmp_path: Path) -> None:
    job = request(database)
    rig = Rig(database, tmp_path, exit_status=0)
    rig.on_start = lambda _: training_jobs.finish(database, job.id, rig.trainer.name, "v1.0.0", "promoted")

    rig.trainer.run_next()

    assert (found(database, job).state, found(database, job).version) == ("done", "v1.0.0")


def test_a_process_whose_job_is_done_ends_by_itself(database: Database, tmp_path: Path) -> None:
    job = request(database)
    rig = Rig(database, tmp_path)

    def finish(_: TrainingJob) -> None:
        training_jobs.finish(database, job.id, rig.trainer.name, "v1.0.0", "promoted")
        threading.Timer(0.1, setattr, (rig.started[-1], "exit_status", 0)).start()

    rig.on_start = finish
    rig.trainer.run_next()

    assert not rig.started[0].stopped


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        (TrainerSettings(max_hours=1e-9), "it took longer than 1e-09 hours (TRIAGEM_TRAINER_MAX_HOURS)"),
        (TrainerSettings(max_disk_gb=1e-9), "its files are larger than 1e-09 GB (TRIAGEM_TRAINER_MAX_DISK_GB)"),
    ],
)
def test_a_job_over_its_budget_is_stopped_and_fails(
    database: Database, tmp_path: Path, settings: TrainerSettings, error: str
) -> None:
    job = request(database)
    folder = job_folder(tmp_path, job.id)
    folder.mkdir()
    (folder / "checkpoint").write_bytes(b"12")
    rig = Rig(database, tmp_path, settings)

    rig.trainer.run_next()

    assert rig.started[0].stopped
    assert (found(database, job).state, found(database, job).error) == ("failed", error)


def test_a_cancelled_job_is_stopped_and_its_files_are_removed(database: Database, tmp_path: Path) -> None:
    job = request(database)
    job_folder(tmp_path, job.id).mkdir()
    rig = Rig(database, tmp_path, on_start=lambda job: training_jobs.cancel(database, job.id))

    rig.trainer.run_next()

    assert rig.started[0].stopped
    assert found(database, job).state == "cancelled"
    assert not job_folder(tmp_path, job.id).exists()


def test_embeddings_that_no_job_has_used_for_a_day_are_removed(database: Database, tmp_path: Path) -> None:
    old, used = tmp_path / "embeddings-a.sqlite", tmp_path / "embeddings-b.sqlite"
    for file, hours in ((old, 25), (used, 23)):
        file.touch()
        os.utime(file, (time.time() - hours * 3600,) * 2)

    Rig(database, tmp_path).trainer.run_next()

    assert [*tmp_path.iterdir()] == [used]


def test_a_trainer_that_stops_puts_its_job_back_with_its_checkpoints(database: Database, tmp_path: Path) -> None:
    job = request(database)
    job_folder(tmp_path, job.id).mkdir()
    rig = Rig(database, tmp_path)
    rig.on_start = lambda _: rig.trainer.stop()

    rig.trainer.run()

    assert rig.started[0].stopped
    assert (found(database, job).state, found(database, job).attempts) == ("queued", 0)
    assert job_folder(tmp_path, job.id).exists()
