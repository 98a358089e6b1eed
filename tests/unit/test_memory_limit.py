"""Memory limit of a worker: the container's limit if there is one, otherwise the machine's memory."""

from pathlib import Path

import pytest

from triagem.worker.health import memory_limit_bytes

MACHINE = "MemFree:  1 kB\nMemTotal:       1000 kB\n"


@pytest.mark.parametrize(
    ("cgroup", "machine", "expected"),
    [("5000\n", MACHINE, 5000), ("max\n", MACHINE, 1_024_000), (None, MACHINE, 1_024_000), ("5000", None, 5000),
     ("9999999999", MACHINE, 1_024_000), (None, None, None)],
)  # fmt: skip
def test_the_limit_is_the_smaller_of_container_limit_and_machine_memory(
    tmp_path: Path, cgroup: str | None, machine: str | None, expected: int | None
) -> None:
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    if cgroup is not None:
        for name, content in (("memory.max", cgroup), ("memory.current", "7"), ("memory.stat", "inactive_file 0\n")):
            (group / name).write_text(content)
    if machine is not None:
        (tmp_path / "proc/meminfo").write_text(machine)
    assert memory_limit_bytes(tmp_path) == expected
