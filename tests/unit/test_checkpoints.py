"""Where a training keeps what it would go on from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.contracts.errors import AlreadyTraining
from triagem.trainer.checkpoints import beats_last, begun, last_whole, mark_of, thin_out, workplace


def checkpoint(folder: Path, step: int, *, state: str = '{"global_step": 1}', optimizer: bool = True) -> Path:
    """A checkpoint as the Trainer writes it, but for the weights."""
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "trainer_state.json").write_text(state, encoding="utf-8")
    if optimizer:
        (made / "optimizer.pt").touch()
    return made


def test_the_newest_checkpoint_is_gone_on_from_by_its_number(tmp_path: Path) -> None:
    checkpoint(tmp_path, 900)

    assert last_whole(tmp_path) == tmp_path / "checkpoint-900"
    assert last_whole(tmp_path) != checkpoint(tmp_path, 1000)
    assert last_whole(tmp_path) == tmp_path / "checkpoint-1000"


@pytest.mark.parametrize("half", [{"state": '{"global'}, {"state": ""}, {"optimizer": False}])
def test_a_half_written_one_is_removed_and_the_one_before_taken(tmp_path: Path, half: dict[str, str]) -> None:
    older = checkpoint(tmp_path, 1)
    newer = checkpoint(tmp_path, 2, **half)  # type: ignore[arg-type]

    assert last_whole(tmp_path) == older
    assert not newer.exists()


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert last_whole(tmp_path) is None


def test_only_the_newest_keeps_its_optimizer(tmp_path: Path) -> None:
    for step in (9, 10, 11):
        checkpoint(tmp_path, step)
    thin_out(tmp_path)

    assert [path.parent.name for path in tmp_path.glob("*/optimizer.pt")] == ["checkpoint-11"]


def test_the_same_training_at_once_is_refused(tmp_path: Path) -> None:
    with workplace(tmp_path, "abc"):
        with workplace(tmp_path, "other"):
            pass
        with pytest.raises(AlreadyTraining, match="the same training runs already"), workplace(tmp_path, "abc"):
            pass


def test_a_training_that_is_done_leaves_no_folder(tmp_path: Path) -> None:
    with workplace(tmp_path, "abc") as folder:
        checkpoint(folder, 1)

    assert list(tmp_path.iterdir()) == []


def test_one_that_failed_leaves_its_folder_if_there_is_something_to_go_on_from(tmp_path: Path) -> None:
    checkpoint(tmp_path / ".training-kept" / "fold-0", 1)
    for name in ("kept", "empty"):
        with pytest.raises(KeyboardInterrupt), workplace(tmp_path, name):
            raise KeyboardInterrupt

    assert [path.name for path in tmp_path.iterdir()] == [".training-kept"]
    with workplace(tmp_path, "kept") as folder:
        assert begun(folder)


def test_a_name_changes_with_any_part(tmp_path: Path) -> None:
    assert mark_of(("a", "b"), 1) == mark_of(("a", "b"), 1)
    assert len({mark_of("a", "b"), mark_of("ab"), mark_of("a"), mark_of("a", 1), mark_of("a", "1")}) == 5


def test_an_earlier_checkpoint_is_kept_for_more_than_chance_only() -> None:
    # A standard error is 0.03 of 100 rows at 0.9, and 0.003 of 10,000.
    assert not beats_last(0.92, 0.9, rows=100)
    assert beats_last(0.94, 0.9, rows=100)
    assert beats_last(0.92, 0.9, rows=10_000)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 10**6))
def test_no_equal_or_worse_checkpoint_is_kept_instead_of_the_last(one: float, other: float, rows: int) -> None:
    assert not beats_last(min(one, other), max(one, other), rows)
