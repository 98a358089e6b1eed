"""Whom to ask how sure a model may be."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tests.support.builders import manifest
from triagem.contracts.text import digest
from triagem.trainer.cross_validation import NEVER_HELD_OUT, fold_numbers, out_of_fold_probabilities, plan_calibration
from triagem.trainer.data import Row
from triagem.trainer.parent import Parent
from triagem.trainer.settings import TrainSettings
from triagem.trainer.split import DataSplit


def rows(**count: int) -> list[Row]:
    """So many rows of each label, none like another."""
    rng = random.Random(7)

    def words() -> str:
        return " ".join("".join(rng.choices("abcdefghilmnoprstuv", k=7)) for _ in range(4))

    return [Row(words(), label) for label, number in count.items() for _ in range(number)]


def settings(**changes: int) -> TrainSettings:
    return TrainSettings.model_validate({"base": "any", "folds": 3} | changes)


def knowing(*known: Row) -> Parent:
    """A parent that learned these rows."""
    return Parent(Path(), manifest(), frozenset(digest(row.text).hex() for row in known))


@how(max_examples=40)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(2, 5), st.integers(0, 99))
def test_each_fold_has_its_share_of_each_label(one: int, other: int, folds: int, seed: int) -> None:
    made = rows(suporte=one, venda=other)
    numbers = fold_numbers(made, folds, seed)
    parts = min(folds, one, other)

    assert set(numbers) == set(range(parts))
    for label, number in (("suporte", one), ("venda", other)):
        count = Counter(fold for row, fold in zip(made, numbers, strict=True) if row.label == label)
        assert all(number // parts <= count[fold] <= -(-number // parts) for fold in range(parts))


def test_near_duplicates_share_a_fold() -> None:
    made = rows(suporte=20, venda=20)
    twins = [Row(row.text + "!", row.label) for row in made]
    numbers = fold_numbers(made + twins, 4, 42)

    assert numbers[:40] == numbers[40:]


def parts(train: Sequence[Row], *, calibration: Sequence[Row] = (), dev: Sequence[Row] = ()) -> DataSplit:
    return DataSplit(tuple(train), tuple(dev), tuple(calibration), (), ())


def test_given_calibration_rows_are_used_and_no_fold_is_made() -> None:
    train, calibration = rows(suporte=40), rows(venda=15)
    for folds in (0, 3):
        made = plan_calibration(parts(train, calibration=calibration, dev=rows(venda=20)), settings(folds=folds))

        assert (made.train, made.calibration_rows, made.folds, made.source) == (
            tuple(train),
            tuple(calibration),
            (),
            "held-out",
        )


def test_without_calibration_rows_every_row_is_predicted_out_of_fold() -> None:
    train = rows(suporte=20, venda=20)
    made = plan_calibration(parts(train, dev=rows(venda=20)), settings())

    assert (made.train, made.calibration_rows, made.source) == (tuple(train), tuple(train), "out-of-fold")
    assert set(made.folds) == {0, 1, 2}


def test_without_folds_the_dev_rows_calibrate_and_train_loses_none() -> None:
    train, dev = rows(suporte=70, venda=50), rows(suporte=7, venda=5)
    made = plan_calibration(parts(train, dev=dev), settings(folds=0))

    assert (made.train, made.calibration_rows, made.folds, made.source) == (tuple(train), tuple(dev), (), "dev")


def test_rows_that_the_parent_learned_train_every_fold_and_do_not_calibrate() -> None:
    train = rows(suporte=20, venda=20)
    known = train[::4]
    made = plan_calibration(parts(train), settings(), knowing(*known))

    assert made.calibration_rows == tuple(row for row in train if row not in known)
    assert [fold == NEVER_HELD_OUT for fold in made.folds] == [row in known for row in train]


def test_calibration_rows_that_the_parent_learned_do_not_calibrate() -> None:
    calibration = rows(suporte=15, venda=15)
    given = parts(rows(suporte=9), calibration=calibration)

    assert plan_calibration(given, settings(), knowing(*calibration[:10])).calibration_rows == tuple(calibration[10:])
    assert plan_calibration(given, settings(), knowing(*calibration)).source == "none"


def test_a_parent_that_learned_all_rows_leaves_none_to_calibrate_with() -> None:
    train = rows(suporte=20, venda=20)

    assert plan_calibration(parts(train), settings(), knowing(*train)).source == "none"


def test_probabilities_come_in_the_order_of_the_rows_each_from_its_own_fold(tmp_path: Path) -> None:
    folds = (1, NEVER_HELD_OUT, 0, 1, 0)
    said = out_of_fold_probabilities(
        folds, lambda fold, folder: [[float(fold), place] for place in range(2)], tmp_path
    )

    assert said.tolist() == [[1, 0], [0, 0], [1, 1], [0, 1]]


def test_a_finished_fold_is_not_trained_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def answer(fold: int, folder: Path) -> list[list[float]]:
        asked.append(fold)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return [[0.5, 0.5]]

    with pytest.raises(KeyboardInterrupt):
        out_of_fold_probabilities((0, 1), answer, tmp_path)
    out_of_fold_probabilities((0, 1), answer, tmp_path)

    assert asked == [0, 1, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fold-0.json", "fold-1.json"]
