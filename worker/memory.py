"""How much memory this process may use: the container's limit, or what the machine has."""

from contextlib import suppress
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")
_MACHINE: Final = Path("/proc/meminfo")


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
