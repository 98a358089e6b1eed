"""Health of a worker process: its heartbeat file, and the memory that it may use and uses.

The age of the file is the age of the oldest thread heartbeat; its content is `ready` or `starting`. `inspect ping` is
not used as a probe: it needs Redis, so every healthy worker would be restarted during a Redis outage.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from triagem.worker.supervisor import Supervisor

ALIVE_S: Final = 120.0  # above the slowest micro-batch: 32 texts of 512 tokens, bert-base on two cores
READY: Final = "ready"


def report(file: Path, supervisor: Supervisor, ready: threading.Event) -> None:
    """Update the file every second until the worker stops, then remove it."""
    while not supervisor.stopping.wait(1.0):
        supervisor.beat()
        write(file, READY if ready.is_set() else "starting", time.time() - supervisor.heartbeat_age_s())
    file.unlink(missing_ok=True)


def write(file: Path, content: str, heartbeat_at: float) -> None:
    """Write the file atomically: a probe never reads half of it."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(content, encoding="utf-8")
    os.utime(partial, (heartbeat_at, heartbeat_at))
    partial.replace(file)


def check(file: Path, *, max_age_s: float = ALIVE_S, need_ready: bool = False) -> str | None:
    """The problem of the worker that writes this file, or None if it is healthy."""
    try:
        age = time.time() - file.stat().st_mtime
        content = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"no heartbeat file {file}: the worker has not started, or has exited"
    except OSError as error:
        return f"the heartbeat file {file} cannot be read ({error.strerror})"
    if age > max_age_s:
        return f"a worker thread has sent no heartbeat for {age:.0f} s"
    if need_ready and content != READY:
        return "the worker is still loading its model"
    return None


def used_ratio(root: Path = Path("/")) -> float | None:
    """Used share of the tightest limit; None if the system does not report it. `root` contains `proc` and `sys`.

    Under a cgroup v2 limit, inactive file pages do not count, because they can be freed at once. Kubernetes evicts by
    the same measure.
    """
    return max((used / limit for limit, used in _cgroup_limits(root)), default=None) or _machine_ratio(root)


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """The smaller of the tightest container limit and the machine's memory; None if neither is known, as on macOS."""
    limits = [limit for limit, _ in _cgroup_limits(root)]
    with suppress(OSError, KeyError):
        limits.append(_numbers(root / "proc/meminfo")["MemTotal"] * 1024)
    return min(limits, default=None)


def _cgroup_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Each limit that applies, of our own cgroup and its ancestors, with the memory used under it."""
    top = root / "sys/fs/cgroup"
    with suppress(OSError, ValueError, StopIteration):
        cgroup = next(line for line in (root / "proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        group = top / cgroup.removeprefix("0::").strip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # `max` is not a number; the root group has no limit
                limit = int((folder / "memory.max").read_text())
                used = int((folder / "memory.current").read_text())
                yield limit, used - _numbers(folder / "memory.stat").get("inactive_file", 0)
            if folder == top:
                return


def _machine_ratio(root: Path) -> float | None:
    try:
        meminfo = _numbers(root / "proc/meminfo")
        return 1 - meminfo["MemAvailable"] / meminfo["MemTotal"]
    except (OSError, KeyError):
        return None


def _numbers(file: Path) -> dict[str, int]:
    lines = (line.split() for line in file.read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) for fields in lines if len(fields) > 1 and fields[1].isdigit()}
