"""Runs several worker processes under one parent, per GPU or on the CPU, and restarts those that stop."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from triagem.cli.processes import WorkerSlot, run_until_stopped
from triagem.contracts.errors import InvalidInput
from triagem.process import ChildProcess
from triagem.worker import health
from triagem.worker.settings import WorkerSettings

_STOP_MARGIN_S: Final = 10.0  # added to the time in which a worker stops by itself


def select_gpus(selection: str) -> list[str | None]:
    """Values for CUDA_VISIBLE_DEVICES, one per GPU. `all`: every GPU that this process sees. Raises InvalidInput."""
    if selection != "all":
        gpus = _split(selection)
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
