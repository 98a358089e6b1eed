"""Memory usage of a worker: relative to the tightest container limit, otherwise to the machine's memory."""

from pathlib import Path

import pytest

from triagem.worker.health import used_ratio


def write_cgroup(folder: Path, limit: object, used: int, inactive: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine that uses a quarter of its memory, with this process in the group /pod/worker."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod/worker\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 750 kB\n")
    (tmp_path / "sys/fs/cgroup/pod/worker").mkdir(parents=True)
    return tmp_path


def test_usage_is_relative_to_the_containers_limit_without_reclaimable_memory(root: Path) -> None:
    write_cgroup(root / "sys/fs/cgroup/pod/worker", 1000, 900, inactive=300)
    assert used_ratio(root) == 0.6


def test_usage_is_relative_to_the_tightest_limit_of_all_parent_groups(root: Path) -> None:
    write_cgroup(root / "sys/fs/cgroup/pod/worker", "max", 900)
    write_cgroup(root / "sys/fs/cgroup/pod", 1000, 950)
    assert used_ratio(root) == 0.95


def test_without_a_limit_usage_is_relative_to_the_machine(root: Path) -> None:
    write_cgroup(root / "sys/fs/cgroup/pod/worker", "max", 900)
    assert used_ratio(root) == 0.25


def test_without_system_information_usage_is_unknown(tmp_path: Path) -> None:
    assert used_ratio(tmp_path) is None


def test_usage_of_this_machine_is_plausible() -> None:
    ratio = used_ratio()
    assert ratio is None or 0 < ratio <= 1.5
