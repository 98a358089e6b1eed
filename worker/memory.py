"""The memory of this process' container, or else the machine: how much there is, and how much of it is used."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")
_MACHINE: Final = Path("/proc/meminfo")


def share(root: Path = Path("/")) -> float | None:
    """Of the tightest limit; None where the system does not tell. `root` holds `proc` and `sys`.

    Under a limit of cgroup v2 what counts is what could not be freed at once: pages of files that were not used for a
    while do not, as in what Kubernetes evicts by.
    """
    return max(_limits(root), default=None) or _machine(root)


def _limits(root: Path) -> Iterator[float]:
    """Of each group that we are in and that has a limit: our own and those around it."""
    top = root / "sys/fs/cgroup"
    with suppress(OSError, ValueError, StopIteration):
        mine = next(line for line in (root / "proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        group = top / mine.removeprefix("0::").strip("/")
        for one in (group, *group.parents):
            with suppress(OSError, ValueError):  # `max` is no number; the root group has no limit
                limit = int((one / "memory.max").read_text())
                used = int((one / "memory.current").read_text())
                yield (used - _numbers(one / "memory.stat").get("inactive_file", 0)) / limit
            if one == top:
                return


def _machine(root: Path) -> float | None:
    try:
        known = _numbers(root / "proc/meminfo")
        return 1 - known["MemAvailable"] / known["MemTotal"]
    except (OSError, KeyError):
        return None


def _numbers(file: Path) -> dict[str, int]:
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def limit_bytes(cgroup: Path = _CGROUP, machine: Path = _MACHINE) -> int | None:
    """The smaller of both; None where neither is told, as on macOS."""
    found = []
    with suppress(OSError, ValueError):  # absent, or `max`: no limit
        found.append(int(cgroup.read_text(encoding="ascii")))
    with suppress(OSError, ValueError, StopIteration):
        total = next(
            line for line in machine.read_text(encoding="ascii").splitlines() if line.startswith("MemTotal:")
        )
        found.append(int(total.split()[1]) * 1024)
    return min(found, default=None)
