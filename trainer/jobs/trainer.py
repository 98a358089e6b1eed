"""Takes training jobs from the table, one at a time, and runs each in a process of its own.

Only the job's process loads torch, so an idle trainer needs little memory. If a training runs out of memory, crashes
or hangs, the trainer survives and records the outcome.
"""

import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from triagem.contracts.errors import Retryable
from triagem.db import Database, training_jobs
from triagem.db.training_jobs import TrainingJob
from triagem.process import ChildProcess, describe_exit
from triagem.trainer.settings import TrainerSettings

log = structlog.get_logger(__name__)

MAX_ATTEMPTS: Final = 10
_TICK_S: Final = 1.0
_STOP_S: Final = 10.0
_MAX_BACKOFF_S: Final = 60.0
_FOLDER: Final = ".job-"
# unused embeddings are deleted after this time, because they include those of forgotten tickets
_EMBEDDINGS_S: Final = 86_400


def start_process(job: TrainingJob, trainer: str) -> ChildProcess:
    """Start `triagem trainer --job`. It stops when this process is killed."""
    return ChildProcess(["trainer", "--job", str(job.id), "--trainer", trainer], {})


def job_folder(work_dir: Path, job_id: int) -> Path:
    """The folder of a job's data and checkpoints; kept until the job has ended."""
    return work_dir / f"{_FOLDER}{job_id}"


def budget_problem(seconds: float, size: int, settings: TrainerSettings) -> str | None:
    """The reason to end a job that has run for `seconds`, with files of `size` bytes; None if it may go on."""
    if seconds > settings.max_hours * 3600:
        return f"it took longer than {settings.max_hours:g} hours (TRIAGEM_TRAINER_MAX_HOURS)"
    if size > settings.max_disk_gb * 1e9:
        return f"its files are larger than {settings.max_disk_gb:g} GB (TRIAGEM_TRAINER_MAX_DISK_GB)"
    return None


class Trainer:
    """Runs the jobs of one database until `stop`."""

    def __init__(
        self,
        database: Database,
        work_dir: Path,
        settings: TrainerSettings,
        start: Callable[[TrainingJob, str], ChildProcess] = start_process,
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._database, self._work_dir, self._settings, self._start = database, work_dir, settings, start
        self._woken, self._stopping = threading.Event(), threading.Event()

    def wake(self) -> None:
        """Look for a job now instead of at the next interval."""
        self._woken.set()

    def stop(self) -> None:
        """End `run` within seconds. The running job is queued again and later resumes from its checkpoint."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Run jobs until `stop`. While Postgres does not answer, wait."""
        while not self._stopping.is_set():
            try:
                took_one = self.run_next()
            except Retryable as error:
                log.warning("training_jobs_unavailable", reason=str(error))
                took_one = False
            if not took_one:
                self._woken.wait(self._settings.poll_every_s)
                self._woken.clear()

    def run_next(self) -> bool:
        """Run a job until it has ended or must wait; False if there is none. Raises DatabaseUnavailable."""
        self._remove_files()
        job = training_jobs.claim(self._database, self.name, lease_s=self._settings.lease_s)
        if job is None:
            return False
        log.info("training_job_started", job=job.id, kind=job.kind, attempt=job.attempts)
        status, problem = self._supervise(job)
        self._record(job, status, problem)
        self._remove_files()
        return True

    def _supervise(self, job: TrainingJob) -> tuple[int, str | None]:
        """Wait for the job's process; returns its exit status, and the budget that it exceeded."""
        process, started, problem = self._start(job, self.name), time.monotonic(), None
        folder = job_folder(self._work_dir, job.id)
        try:
            while process.exit_status is None and problem is None and self._holds(job):
                if self._stopping.wait(_TICK_S):
                    break
                problem = budget_problem(time.monotonic() - started, folder_size(folder), self._settings)
            self._await_end(process, job)
        finally:
            status = process.stop(_STOP_S)
        return status, problem

    def _await_end(self, process: ChildProcess, job: TrainingJob) -> None:
        """Let a process whose job is done archive old versions and close its connections, without a SIGTERM."""
        with suppress(Retryable):
            recorded, end = training_jobs.find(self._database, job.id), time.monotonic() + _STOP_S
            while recorded and recorded.state == "done" and process.exit_status is None and time.monotonic() < end:
                if self._stopping.wait(_TICK_S):
                    return

    def _holds(self, job: TrainingJob) -> bool:
        """Whether this trainer still holds the job. An outage of Postgres does not end a training."""
        try:
            return training_jobs.renew(self._database, job.id, self.name)
        except Retryable:
            return True

    def _record(self, job: TrainingJob, status: int, problem: str | None) -> None:
        """Record how the process ended, unless the process has recorded it or this trainer has lost the job."""
        if self._stopping.is_set() and problem is None:
            training_jobs.release(self._database, job.id, self.name, interrupted=True)
            return
        if problem is None and status != 0:
            end = f"the training process {describe_exit(status)}"
            if job.attempts < MAX_ATTEMPTS:
                if training_jobs.release(self._database, job.id, self.name):
                    log.warning("training_job_interrupted", job=job.id, attempt=job.attempts, reason=end)
                    self._stopping.wait(min(_MAX_BACKOFF_S, 2.0**job.attempts))
                return
            problem = f"{end}, at the {job.attempts}th attempt; the trainer's log says more"
        if problem is not None and training_jobs.fail(self._database, job.id, self.name, problem):
            log.error("training_job_failed", job=job.id, reason=problem)

    def _remove_files(self) -> None:
        """Remove the folders of jobs that have ended, and the embeddings that no job has used for a day."""
        for file in self._work_dir.glob("embeddings-*.sqlite"):
            with suppress(FileNotFoundError):  # another trainer has removed it
                if file.stat().st_mtime < time.time() - _EMBEDDINGS_S:
                    file.unlink()
        for folder in self._work_dir.glob(f"{_FOLDER}*"):
            job = training_jobs.find(self._database, int(folder.name.removeprefix(_FOLDER)))
            if job is None or not job.active:
                shutil.rmtree(folder, ignore_errors=True)


def folder_size(folder: Path) -> int:
    """The bytes of all files in a folder, 0 if there is none. Files may vanish meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size  # noqa: PTH116, PTH118 - os.walk has no paths
            except FileNotFoundError:
                continue
    return total
