"""The trainer's decisions: a job's budgets, and the outcome of its process."""

from pathlib import Path

import pytest

from triagem.process import describe_exit
from triagem.trainer.jobs.trainer import budget_problem, folder_size
from triagem.trainer.settings import TrainerSettings

SETTINGS = TrainerSettings(max_hours=2, max_disk_gb=1)


@pytest.mark.parametrize(
    ("hours", "gigabytes", "problem"),
    [
        (1.9, 0.9, None),
        (2.1, 0.9, "it took longer than 2 hours (TRIAGEM_TRAINER_MAX_HOURS)"),
        (1.9, 1.1, "its files are larger than 1 GB (TRIAGEM_TRAINER_MAX_DISK_GB)"),
    ],
)
def test_a_job_has_a_budget_of_time_and_disk(hours: float, gigabytes: float, problem: str | None) -> None:
    assert budget_problem(hours * 3600, int(gigabytes * 1e9), SETTINGS) == problem


@pytest.mark.parametrize(
    ("status", "description"),
    [
        (1, "exited with status 1"),
        (-11, "was killed by signal 11"),
        (-9, "was killed by signal 9 (SIGKILL): by a person, or because memory ran out"),
    ],
)
def test_the_end_of_a_process_is_described(status: int, description: str) -> None:
    assert describe_exit(status) == description


def test_the_size_of_a_folder_counts_the_files_below_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model").write_bytes(b"12345")
    (tmp_path / "data").write_bytes(b"123")

    assert folder_size(tmp_path) == 8
    assert folder_size(tmp_path / "missing") == 0
