"""Starts and restarts worker processes, per GPU or on the CPU, and ends a process when its parent ends."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from triagem.contracts.errors import InvalidInput
from triagem.process import STOP_S, ChildProcess, describe_exit
from triagem.stack import Endpoints
from triagem.worker import health
from triagem.worker.settings import WorkerSettings


def exit_on_sigterm() -> None:
    """Turn SIGTERM into SystemExit, so that cleanup code runs and child processes are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


class WorkerProcess(ChildProcess):
    """One `triagem worker`, `ops`, `beat` or `gateway`, on the local stack."""

    log: Path

    def __init__(self, endpoints: Endpoints, log: Path, command: str = "worker", **settings: str) -> None:
        login = {"TRIAGEM_DATABASE_URL": endpoints.writer_url}  # may read and write rows, but not alter tables
        super().__init__([command], endpoints.settings | login | settings, log)


def end_with_parent() -> None:
    """Stop as on SIGTERM when standard input ends, because the parent, which alone holds the pipe, has ended.

    Like the parent, kill what does not stop: Celery does not, while it waits for a broker that is gone.
    """
    threading.Thread(target=_watch, name="parent", daemon=True).start()


def _watch() -> None:
    while os.read(0, 4096):  # not sys.stdin: a thread that holds its lock at exit aborts the interpreter
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_S)
    os.killpg(os.getpid(), signal.SIGKILL)  # the process leads its own session


SLOW_STOP_S: Final = 5.0
SHORT_RUN_S: Final = 10.0  # a worker needs about this time to warm up
_CONFIGURATION_ERROR: Final = 1  # the exit status of a worker that reported why it cannot run


def restart_delay(status: int, uptime_s: float, short_runs: int) -> float | None:
    """Seconds until a stopped worker is restarted; None if a restart cannot help.

    Args:
        status: the exit status, negative for a signal.
        short_runs: number of consecutive runs shorter than SHORT_RUN_S, this one included.
    """
    if uptime_s >= SHORT_RUN_S:
        return 0.0
    return None if status == _CONFIGURATION_ERROR else min(30.0, 0.5 * 2**short_runs)


@dataclass
class WorkerSlot:
    """A slot that runs one worker process at a time. `poll` starts and restarts it."""

    name: str
    start: Callable[[], ChildProcess]
    report: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    ended: Callable[[int], None] = lambda _: None  # called with the pid of a worker that stopped
    process: ChildProcess | None = None
    _started_at: float = 0.0
    _start_after: float = field(default=float("-inf"))
    _short_runs: int = 0

    def poll(self) -> bool:
        """Start the worker if it is due. Call repeatedly. Returns False once a worker reported that it cannot run."""
        now = self.clock()
        if self.process is None:
            if now >= self._start_after:
                self.process, self._started_at = self.start(), now
            return True
        status = self.process.exit_status
        if status is None:
            return True
        uptime = now - self._started_at
        self._short_runs = self._short_runs + 1 if uptime < SHORT_RUN_S else 0
        self.ended(self.process.pid)
        delay = restart_delay(status, uptime, self._short_runs)
        restart = "" if delay is None else f", restarting in {delay:.0f} s" if delay else ", restarting"
        self.report(f"{self.name} {describe_exit(status)}{restart}: {self.process.exit_reason()}")
        if delay is None:
            return False
        self.process, self._start_after = None, now + delay
        return True

    def stop(self, stop_s: float) -> int | None:
        """Stop its process, if any, and return the exit status. Reports a process that does not end soon."""
        if (process := self.process) is None:
            return None
        text = f"{self.name} (process {process.pid}) has not ended yet: it is killed in {stop_s - SLOW_STOP_S:.0f} s"
        slow = threading.Timer(SLOW_STOP_S, self.report, [text])
        slow.start()
        status = process.stop(stop_s)
        slow.cancel()
        if status == -signal.SIGKILL:
            self.report(f"{self.name} (process {process.pid}) was killed because it did not end")
        return status


def run_until_stopped(
    slots: Sequence[WorkerSlot],
    each_round: Callable[[], None],
    *,
    stop_s: float = STOP_S,
    stop_step: AbstractContextManager[None] | None = None,
) -> tuple[bool, list[int]]:
    """Run the processes of the slots until SIGINT or SIGTERM, then let them finish their work.

    Args:
        each_round: called twice a second.
        stop_s: seconds until a process that does not stop is killed.
        stop_step: a context around the stop.

    Returns:
        False if a process reported at startup that it cannot run; and the exit statuses of the processes that were
        still running at the end.
    """
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    healthy = True
    try:
        while healthy and not stopping.wait(0.5):
            healthy = all(slot.poll() for slot in slots)
            each_round()
    finally:
        with stop_step or nullcontext(), ThreadPoolExecutor(len(slots) or 1) as threads:
            statuses = list(threads.map(lambda slot: slot.stop(stop_s), slots))
    return healthy, [status for status in statuses if status is not None]


_STOP_MARGIN_S: Final = 10.0  # added to the time in which a worker stops by itself


def select_gpus(selection: str) -> list[str | None]:
    """Values for CUDA_VISIBLE_DEVICES, one per GPU. `all`: every GPU that this process sees. Raises InvalidInput."""
    if selection != "all":
        gpus = _split(selection)
        if not all(re.fullmatch(r"\d+|(GPU|MIG)-\S+", gpu) for gpu in gpus):
            forms = "`all`, or numbers or UUIDs of GPUs such as `0,2`; `nvidia-smi -L` lists them"
            raise InvalidInput(f"--gpus {selection}: expected {forms}")
    elif (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        gpus = _split(visible)
    else:
        gpus = parse_gpu_list(_nvidia_smi())
    if not gpus:
        raise InvalidInput("no GPU found: omit --gpus, and use `--processes N` to start workers on the CPU")
    return [*gpus]


def parse_gpu_list(listing: str) -> list[str]:
    """The UUIDs in the output of `nvidia-smi -L`. MIG devices replace their GPU, which then runs no work itself.

    UUIDs are used because CUDA numbers GPUs by speed, and nvidia-smi by their position on the bus.
    """
    uuids: list[str] = []
    for line in listing.splitlines():
        _, marker, rest = line.rpartition("(UUID: ")
        if not marker:
            continue
        if rest.startswith("MIG-") and uuids and uuids[-1].startswith("GPU-"):
            uuids.pop()
        uuids.append(rest.rstrip(" )"))
    return uuids


def worker_environment(
    index: int, gpu: str | None, workers: int, settings: WorkerSettings, *, cores: int
) -> dict[str, str]:
    """Environment of one worker of the pool: its GPU, its share of the cores, its metrics port and heartbeat file."""
    environment = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu, "TRIAGEM_DEVICE": "cuda"}
    environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // workers))
    if settings.metrics.port:
        environment["TRIAGEM_METRICS_PORT"] = str(settings.metrics.port + index)
    if settings.heartbeat_file:
        environment["TRIAGEM_HEARTBEAT_FILE"] = str(_worker_heartbeat(settings.heartbeat_file, index))
    return environment


def run_pool(
    gpus: Sequence[str | None], per_gpu: int, settings: WorkerSettings, report: Callable[[str], None]
) -> int:
    """Run `per_gpu` workers on each GPU until SIGTERM or SIGINT, then let them finish.

    Returns the exit status: 0 if all workers stopped cleanly after a signal, otherwise 1. It is also 1 if a worker
    reports at startup that it cannot run.
    """
    devices = [gpu for gpu in gpus for _ in range(per_gpu)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def start(index: int, gpu: str | None) -> ChildProcess:
        return ChildProcess(["worker"], worker_environment(index, gpu, len(devices), settings, cores=cores))

    slots = [
        WorkerSlot(f"worker {index}" + (f" on {gpu}" if gpu else ""), partial(start, index, gpu), report)
        for index, gpu in enumerate(devices)
    ]

    def write_heartbeat() -> None:
        if settings.heartbeat_file:
            write_pool_heartbeat(settings.heartbeat_file, len(slots))

    try:
        stop_s = settings.stop_deadline_s + _STOP_MARGIN_S
        healthy, statuses = run_until_stopped(slots, write_heartbeat, stop_s=stop_s)
    finally:
        if settings.heartbeat_file:
            settings.heartbeat_file.unlink(missing_ok=True)
    # A worker that is still starting has no signal handler and no work in progress yet: SIGTERM kills it.
    return 0 if healthy and all(status in {0, -signal.SIGTERM} for status in statuses) else 1


def write_pool_heartbeat(file: Path, workers: int) -> None:
    """Write the pool's heartbeat: its age is the oldest worker's, and it is ready once all workers are ready."""
    beats, ready = [time.time()], True
    for index in range(workers):
        worker_file = _worker_heartbeat(file, index)
        try:
            beats.append(worker_file.stat().st_mtime)
            ready = ready and worker_file.read_text(encoding="utf-8") == health.READY
        except FileNotFoundError:  # the worker is starting or restarting
            ready = False
    health.write(file, health.READY if ready else "starting", min(beats))


def _worker_heartbeat(file: Path, index: int) -> Path:
    return file.with_name(f"{file.name}.{index}")


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _nvidia_smi() -> str:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    return subprocess.run([command, "-L"], capture_output=True, text=True, check=False, timeout=60).stdout
