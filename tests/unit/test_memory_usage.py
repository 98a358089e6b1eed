"""How much memory a worker uses: of its container's limit, of the tightest one around it, else of the machine."""

from pathlib import Path

import pytest

from triagem.worker.memory import used_ratio


def group(folder: Path, limit: object, used: int, inactive: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine that uses a quarter of its memory, with our process in the group /pod/worker."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod/worker\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 750 kB\n")
    (tmp_path / "sys/fs/cgroup/pod/worker").mkdir(parents=True)
    return tmp_path


def test_of_the_containers_limit_without_what_could_be_freed(root: Path) -> None:
    group(root / "sys/fs/cgroup/pod/worker", 1000, 900, inactive=300)
    assert used_ratio(root) == 0.6


def test_of_the_tightest_limit_around_it(root: Path) -> None:
    group(root / "sys/fs/cgroup/pod/worker", "max", 900)
    group(root / "sys/fs/cgroup/pod", 1000, 950)
    assert used_ratio(root) == 0.95


def test_without_a_limit_of_the_machine(root: Path) -> None:
    group(root / "sys/fs/cgroup/pod/worker", "max", 900)
    assert used_ratio(root) == 0.25


def test_where_the_system_does_not_tell_nothing_is_said(tmp_path: Path) -> None:
    assert used_ratio(tmp_path) is None


def test_this_machine() -> None:
    found = used_ratio()
    assert found is None or 0 < found <= 1.5
