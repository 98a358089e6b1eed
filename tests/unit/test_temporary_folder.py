"""A temporary folder of a process that was killed is removed by the next one that needs such a folder."""

import tempfile
from pathlib import Path

import pytest

from triagem.process import temporary_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_by_a_killed_process(temporary: Path, name: str) -> Path:
    """A folder whose lock nobody holds."""
    folder = temporary / name
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "counter.db").touch()
    return folder


def test_a_folder_whose_process_was_killed_is_removed(temporary: Path) -> None:
    left = left_by_a_killed_process(temporary, "triagem-test-left")

    with temporary_folder("triagem-test-") as folder:
        assert (left.exists(), folder.is_dir()) == (False, True)
    assert list(temporary.iterdir()) == []


def test_a_folder_in_use_and_another_programs_folder_are_left_alone(temporary: Path) -> None:
    other = left_by_a_killed_process(temporary, "other")
    (temporary / "triagem-test-no-lock").mkdir()

    with temporary_folder("triagem-test-") as first, temporary_folder("triagem-test-") as second:
        assert {first, second, other, temporary / "triagem-test-no-lock"} == set(temporary.iterdir())
