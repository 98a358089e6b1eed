"""Memory limit and usage of this process' container, or of the machine if there is no container limit."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")
_MACHINE: Final = Path("/proc/meminfo")


def used_ratio(root: Path = Path("/")) -> float | None:
    """Used share of the tightest limit; None if the system does not report it. `root` contains `proc` and `sys`.

    Under a cgroup v2 limit, inactive file pages do not count, because they can be freed at once. Kubernetes evicts by
    the same measure.
    """
    return max(_limits(root), default=None) or _machine(root)


def _limits(root: Path) -> Iterator[float]:
    """Used share of each limit that applies: of our own cgroup and its ancestors."""
    top = root / "sys/fs/cgroup"
    with suppress(OSError, ValueError, StopIteration):
        own = next(line for line in (root / "proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        group = top / own.removeprefix("0::").strip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # `max` is not a number; the root group has no limit
                limit = int((folder / "memory.max").read_text())
                used = int((folder / "memory.current").read_text())
                yield (used - _numbers(folder / "memory.stat").get("inactive_file", 0)) / limit
            if folder == top:
                return


def _machine(root: Path) -> float | None:
    try:
        meminfo = _numbers(root / "proc/meminfo")
        return 1 - meminfo["MemAvailable"] / meminfo["MemTotal"]
    except (OSError, KeyError):
        return None


def _numbers(file: Path) -> dict[str, int]:
    lines = (line.split() for line in file.read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) for fields in lines if len(fields) > 1 and fields[1].isdigit()}


def limit_bytes(cgroup: Path = _CGROUP, machine: Path = _MACHINE) -> int | None:
    """The smaller of the container limit and the machine's memory; None if neither is known, as on macOS."""
    limits = []
    with suppress(OSError, ValueError):  # absent, or `max`: no limit
        limits.append(int(cgroup.read_text(encoding="ascii")))
    with suppress(OSError, ValueError, StopIteration):
        total = next(
            line for line in machine.read_text(encoding="ascii").splitlines() if line.startswith("MemTotal:")
        )
        limits.append(int(total.split()[1]) * 1024)
    return min(limits, default=None)
