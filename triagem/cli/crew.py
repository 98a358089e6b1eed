"""Several workers under one parent: one a GPU, or some on the CPU. One that dies is started again."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from triagem.cli.processes import ChildProcess
from triagem.cli.restarts import Place
from triagem.contracts.errors import InvalidInput

if TYPE_CHECKING:
    from triagem.worker.settings import WorkerSettings

_OVER_S: Final = 10.0  # what a worker may take to end, above its own deadline


def gpus_named(which: str) -> list[str | None]:
    """Names for CUDA_VISIBLE_DEVICES, one a process. `all`: those that we may see. Raises InvalidInput."""
    if which != "all":
        named = _names(which)
    elif (allowed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        named = _names(allowed)
    else:
        named = listed(_nvidia_smi())
    if not named:
        raise InvalidInput("no GPU here: without --gpus, `--processes N` starts workers on the CPU")
    return [*named]


def listed(listing: str) -> list[str]:
    """The UUIDs in what `nvidia-smi -L` prints. Of a GPU that is cut into MIG devices, theirs: it has no other use.

    UUIDs, because CUDA numbers GPUs by speed and nvidia-smi by their place on the bus.
    """
    found: list[str] = []
    for line in listing.splitlines():
        _, mark, rest = line.rpartition("(UUID: ")
        if not mark:
            continue
        if rest.startswith("MIG-") and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(rest.rstrip(" )"))
    return found


def settings_of(
    place: int, gpu: str | None, places: int, settings: "WorkerSettings", *, cores: int
) -> dict[str, str]:
    """What one worker among several has for itself: its GPU, its share of the cores, its port and its file."""
    own = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu, "TRIAGEM_DEVICE": "cuda"}
    own["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // places))
    if settings.metrics_port:
        own["TRIAGEM_METRICS_PORT"] = str(settings.metrics_port + place)
    if settings.heartbeat_file:
        own["TRIAGEM_HEARTBEAT_FILE"] = str(_heartbeat(settings.heartbeat_file, place))
    return own


def serve(gpus: Sequence[str | None], each: int, settings: "WorkerSettings", say: Callable[[str], None]) -> int:
    """Run `each` workers a GPU until SIGTERM or SIGINT, then let them finish.

    Returns the exit status: 0 if all of them ended well when they were asked to; 1 else, also when one says at its
    start that it cannot work.
    """
    asked = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: asked.set())
    devices = [gpu for gpu in gpus for _ in range(each)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def start(place: int, gpu: str | None) -> ChildProcess:
        return ChildProcess(["worker"], settings_of(place, gpu, len(devices), settings, cores=cores))

    places = [
        Place(f"worker {place}" + (f" on {gpu}" if gpu else ""), partial(start, place, gpu), say)
        for place, gpu in enumerate(devices)
    ]
    well = True
    try:
        while well and not asked.wait(0.5):
            well = all(place.look() for place in places)
            if settings.heartbeat_file:
                report(settings.heartbeat_file, len(places))
    finally:
        left = [place.process for place in places if isinstance(place.process, ChildProcess)]
        with ThreadPoolExecutor(len(places)) as pool:
            ends = list(pool.map(lambda one: one.stop(settings.stop_deadline_s + _OVER_S), left))
        if settings.heartbeat_file:
            settings.heartbeat_file.unlink(missing_ok=True)
    # A worker that is still starting has no handler yet: the signal ends it, and it had nothing in hand.
    return 0 if well and all(end in {0, -signal.SIGTERM} for end in ends) else 1


def report(file: Path, places: int) -> None:
    """The crew's heartbeat: as old as the oldest of theirs, ready once all are."""
    from triagem.worker import health

    ages, ready = [time.time()], True
    for place in range(places):
        theirs = _heartbeat(file, place)
        try:
            ages.append(theirs.stat().st_mtime)
            ready = ready and theirs.read_text(encoding="utf-8") == health.READY
        except FileNotFoundError:  # not yet started, or starting again
            ready = False
    health.write(file, health.READY if ready else "starting", min(ages))


def _heartbeat(file: Path, place: int) -> Path:
    return file.with_name(f"{file.name}.{place}")


def _names(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _nvidia_smi() -> str:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    done = subprocess.run([command, "-L"], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout
