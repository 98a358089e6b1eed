"""Checkpoints from which an interrupted training resumes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.contracts.errors import AlreadyTraining
from triagem.trainer.fit.checkpoints import (
    clearly_better,
    drop_old_optimizer_states,
    has_progress,
    newest_complete,
    training_folder,
    training_id,
)


def checkpoint(folder: Path, step: int, *, state: str = '{"global_step": 1}', optimizer: bool = True) -> Path:
    """A checkpoint as the Trainer writes it, without weights."""
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text(state, encoding="utf-8")
    if optimizer:
        (path / "optimizer.pt").touch()
    return path


def test_training_resumes_from_the_checkpoint_with_the_highest_number(tmp_path: Path) -> None:
    checkpoint(tmp_path, 900)

    assert newest_complete(tmp_path) == tmp_path / "checkpoint-900"
    assert newest_complete(tmp_path) != checkpoint(tmp_path, 1000)
    assert newest_complete(tmp_path) == tmp_path / "checkpoint-1000"


@pytest.mark.parametrize("damage", [{"state": '{"global'}, {"state": ""}, {"optimizer": False}])
def test_an_incomplete_checkpoint_is_removed_and_the_previous_one_used(
    tmp_path: Path, damage: dict[str, str]
) -> None:
    older = checkpoint(tmp_path, 1)
    newer = checkpoint(tmp_path, 2, **damage)  # type: ignore[arg-type]

    assert newest_complete(tmp_path) == older
    assert not newer.exists()


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert newest_complete(tmp_path) is None


def test_only_the_newest_keeps_its_optimizer(tmp_path: Path) -> None:
    for step in (9, 10, 11):
        checkpoint(tmp_path, step)
    drop_old_optimizer_states(tmp_path)

    assert [path.parent.name for path in tmp_path.glob("*/optimizer.pt")] == ["checkpoint-11"]


def test_the_same_training_twice_at_once_is_refused(tmp_path: Path) -> None:
    with training_folder(tmp_path, "abc"):
        with training_folder(tmp_path, "other"):
            pass
        with (
            pytest.raises(AlreadyTraining, match="the same training is already running"),
            training_folder(tmp_path, "abc"),
        ):
            pass


def test_a_finished_training_leaves_no_folder(tmp_path: Path) -> None:
    with training_folder(tmp_path, "abc") as folder:
        checkpoint(folder, 1)

    assert list(tmp_path.iterdir()) == []


def test_a_failed_training_keeps_its_folder_if_it_can_resume(tmp_path: Path) -> None:
    checkpoint(tmp_path / ".training-kept" / "fold-0", 1)
    for name in ("kept", "empty"):
        with pytest.raises(KeyboardInterrupt), training_folder(tmp_path, name):
            raise KeyboardInterrupt

    assert [path.name for path in tmp_path.iterdir()] == [".training-kept"]
    with training_folder(tmp_path, "kept") as folder:
        assert has_progress(folder)


def test_a_training_id_changes_with_any_part(tmp_path: Path) -> None:
    assert training_id(("a", "b"), 1) == training_id(("a", "b"), 1)
    assert (
        len({training_id("a", "b"), training_id("ab"), training_id("a"), training_id("a", 1), training_id("a", "1")})
        == 5
    )


def test_an_earlier_checkpoint_is_kept_only_if_significantly_better() -> None:
    # At an accuracy of 0.9, the standard error is 0.03 with 100 rows and 0.003 with 10,000.
    assert not clearly_better(0.92, 0.9, rows=100)
    assert clearly_better(0.94, 0.9, rows=100)
    assert clearly_better(0.92, 0.9, rows=10_000)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 10**6))
def test_no_equal_or_worse_checkpoint_is_kept_instead_of_the_last(first: float, second: float, rows: int) -> None:
    assert not clearly_better(min(first, second), max(first, second), rows)
