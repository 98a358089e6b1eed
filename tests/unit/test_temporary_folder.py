"""The next process that needs a temporary folder removes the folder of a killed process."""

import os
from pathlib import Path

import pytest

from tests.support.builders import register
from triagem.contracts.temporary_folder import temporary_folder
from triagem.registry import Registry


def left_by_a_killed_process(parent: Path, name: str) -> Path:
    """An old folder whose lock nobody holds."""
    folder = parent / name
    folder.mkdir()
    (folder / "counter.db").touch()
    age(folder)
    return folder


def age(folder: Path) -> None:
    """Make the folder an hour old."""
    os.utime(folder, (folder.stat().st_mtime - 3600,) * 2)


def test_a_folder_whose_process_was_killed_is_removed(tmp_path: Path) -> None:
    left = left_by_a_killed_process(tmp_path, "triagem-test-left")

    with temporary_folder("triagem-test-", tmp_path) as folder:
        assert (left.exists(), folder.is_dir()) == (False, True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_a_new_one_and_another_programs_are_left_alone(tmp_path: Path) -> None:
    other = left_by_a_killed_process(tmp_path, "other")
    new = tmp_path / "triagem-test-not-locked-yet"
    new.mkdir()

    with temporary_folder("triagem-test-", tmp_path) as first:
        age(first)
        with temporary_folder("triagem-test-", tmp_path) as second:
            assert {first, second, other, new} == set(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "prefix"), [("folder", ".staging-"), ("remote", ".partial-")])
def test_files_that_a_killed_training_or_download_has_left_are_removed(
    tmp_path: Path, kind: str, prefix: str
) -> None:
    url = str(tmp_path / "models") if kind == "folder" else "memory://left/models"
    registry = Registry(url, cache=tmp_path / "cache")
    registry.work_dir.mkdir()
    left = left_by_a_killed_process(registry.work_dir, f"{prefix}left")

    register(registry)

    assert not left.exists()
