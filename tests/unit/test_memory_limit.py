"""Memory limit of a worker: the container's limit if there is one, otherwise the machine's memory."""

from pathlib import Path

import pytest

from triagem.worker.memory import limit_bytes

MACHINE = "MemFree:  1 kB\nMemTotal:       1000 kB\n"


@pytest.mark.parametrize(
    ("cgroup", "machine", "expected"),
    [("5000\n", MACHINE, 5000), ("max\n", MACHINE, 1_024_000), (None, MACHINE, 1_024_000), ("5000", None, 5000),
     ("9999999999", MACHINE, 1_024_000), (None, None, None)],
)  # fmt: skip
def test_the_limit_is_the_smaller_of_what_is_told(
    tmp_path: Path, cgroup: str | None, machine: str | None, expected: int | None
) -> None:
    for name, content in (("cgroup", cgroup), ("machine", machine)):
        if content is not None:
            (tmp_path / name).write_text(content)
    assert limit_bytes(tmp_path / "cgroup", tmp_path / "machine") == expected
