"""Cross-validation plan: which rows calibrate the model, and their out-of-fold probabilities."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.builders import manifest
from triagem.contracts.text import digest
from triagem.trainer.data.near_duplicates import fold_numbers
from triagem.trainer.data.prepare import Parent
from triagem.trainer.data.rows import Corpus, Row
from triagem.trainer.data.split import checkpoint_rows
from triagem.trainer.fit.cross_validation import (
    NEVER_HELD_OUT,
    fold_notes,
    out_of_fold_probabilities,
    plan_calibration,
)
from triagem.trainer.settings import TrainSettings


def rows(**count: int) -> list[Row]:
    """The given number of rows of each label, all different."""
    rng = random.Random(7)

    def random_text() -> str:
        return " ".join("".join(rng.choices("abcdefghilmnoprstuv", k=7)) for _ in range(4))

    return [Row(random_text(), label) for label, number in count.items() for _ in range(number)]


def settings(**changes: int) -> TrainSettings:
    return TrainSettings.model_validate({"base": "any", "folds": 3} | changes)


def parent_that_learned(*learned: Row) -> Parent:
    """A parent that learned these rows."""
    return Parent(Path(), manifest(), frozenset(digest(row.text).hex() for row in learned))


@hypothesis_settings(max_examples=40)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(2, 5), st.integers(0, 99))
def test_each_fold_has_its_share_of_each_label(support_rows: int, sales_rows: int, folds: int, seed: int) -> None:
    labelled_rows = rows(suporte=support_rows, venda=sales_rows)
    numbers = fold_numbers(labelled_rows, folds, seed)
    fold_count = min(folds, support_rows, sales_rows)

    assert set(numbers) == set(range(fold_count))
    for label, number in (("suporte", support_rows), ("venda", sales_rows)):
        rows_by_fold = Counter(fold for row, fold in zip(labelled_rows, numbers, strict=True) if row.label == label)
        assert all(
            number // fold_count <= rows_by_fold[fold] <= -(-number // fold_count) for fold in range(fold_count)
        )


def test_near_duplicates_share_a_fold() -> None:
    originals = rows(suporte=20, venda=20)
    duplicates = [Row(row.text + "!", row.label) for row in originals]
    numbers = fold_numbers(originals + duplicates, 4, 42)

    assert numbers[:40] == numbers[40:]


def test_copies_do_not_decide_how_evenly_a_label_is_spread() -> None:
    labelled_rows = rows(suporte=6, venda=6)
    numbers = fold_numbers(labelled_rows + labelled_rows[:1] * 200, 3, 42)

    assert Counter(numbers[:12]) == {0: 4, 1: 4, 2: 4}
    assert set(numbers[12:]) == {numbers[0]}


@pytest.mark.parametrize(
    ("texts", "note"),
    [
        ({"suporte": 9, "venda": 3}, []),
        ({"suporte": 9, "venda": 2}, ["2 folds instead of 3: venda has only 2 different texts"]),
        (
            {"suporte": 9, "venda": 1},
            ["no folds, so nothing is calibrated: venda has a single text; add different texts of it"],
        ),
        ({"suporte": 4, "venda": 3}, ["no folds: 7 different texts, calibration needs 10"]),
    ],
)
def test_fewer_folds_than_asked_for_are_explained_by_the_label(texts: dict[str, int], note: list[str]) -> None:
    few = rows(**texts)
    plan = plan_calibration(split(few * 3), settings())

    assert list(fold_notes(plan, 3)) == note


def test_there_are_no_more_folds_than_a_label_has_different_texts() -> None:
    few = rows(suporte=9, venda=2)

    assert set(fold_numbers(few + few * 20, 5, 42)) == {0, 1}
    assert set(fold_numbers(rows(suporte=9) + rows(venda=1) * 20, 3, 42)) == {0}


def split(train: Sequence[Row], *, calibration: Sequence[Row] = (), dev: Sequence[Row] = ()) -> Corpus:
    return Corpus(("suporte", "venda"), tuple(train), tuple(dev), tuple(calibration))


def test_given_calibration_rows_are_used_and_no_fold_is_made() -> None:
    train, calibration = rows(suporte=40), rows(venda=15)
    for folds in (0, 3):
        plan = plan_calibration(split(train, calibration=calibration, dev=rows(venda=20)), settings(folds=folds))

        assert (plan.train, plan.calibration_rows, plan.folds, plan.source) == (
            tuple(train),
            tuple(calibration),
            (),
            "held-out",
        )


def test_without_calibration_rows_every_row_is_predicted_out_of_fold() -> None:
    train = rows(suporte=20, venda=20)
    plan = plan_calibration(split(train, dev=rows(venda=20)), settings())

    assert (plan.train, plan.calibration_rows, plan.source) == (tuple(train), tuple(train), "out-of-fold")
    assert set(plan.folds) == {0, 1, 2}


def test_without_folds_the_dev_rows_calibrate_and_train_loses_none() -> None:
    train, dev = rows(suporte=70, venda=50), rows(suporte=7, venda=5)
    plan = plan_calibration(split(train, dev=dev), settings(folds=0))

    assert (plan.train, plan.calibration_rows, plan.folds, plan.source) == (tuple(train), tuple(dev), (), "dev")


def test_rows_that_the_parent_learned_train_every_fold_and_do_not_calibrate() -> None:
    train = rows(suporte=20, venda=20)
    known = train[::4]
    plan = plan_calibration(split(train), settings(), parent_that_learned(*known))

    assert plan.calibration_rows == tuple(row for row in train if row not in known)
    assert [fold == NEVER_HELD_OUT for fold in plan.folds] == [row in known for row in train]


def test_calibration_rows_that_the_parent_learned_do_not_calibrate() -> None:
    calibration = rows(suporte=15, venda=15)
    data = split(rows(suporte=9), calibration=calibration)

    assert plan_calibration(data, settings(), parent_that_learned(*calibration[:10])).calibration_rows == tuple(
        calibration[10:]
    )
    assert plan_calibration(data, settings(), parent_that_learned(*calibration)).source == "none"


def test_a_parent_that_learned_all_rows_leaves_none_to_calibrate_with() -> None:
    train = rows(suporte=20, venda=20)

    assert plan_calibration(split(train), settings(), parent_that_learned(*train)).source == "none"


def test_copies_of_a_few_texts_calibrate_nothing() -> None:
    few = rows(suporte=5, venda=4)

    assert plan_calibration(split(few * 20), settings()).source == "none"
    assert plan_calibration(split(few * 20 + rows(churn=3) * 20), settings()).source == "out-of-fold"


def test_the_dev_rows_that_choose_a_checkpoint_are_different_texts_and_at_least_ten() -> None:
    dev = rows(suporte=6, venda=6)

    assert checkpoint_rows(dev * 3) == tuple(dev)
    assert checkpoint_rows(dev[:9] * 3) == ()


def test_probabilities_come_in_the_order_of_the_rows_each_from_its_own_fold(tmp_path: Path) -> None:
    folds = (1, NEVER_HELD_OUT, 0, 1, 0)
    probabilities = out_of_fold_probabilities(
        folds, lambda fold, folder: [[float(fold), label_index] for label_index in range(2)], tmp_path
    )

    assert probabilities.tolist() == [[1, 0], [0, 0], [1, 1], [0, 1]]


def test_a_finished_fold_is_not_trained_again(tmp_path: Path) -> None:
    trained_folds: list[int] = []

    def train_fold(fold: int, folder: Path) -> list[list[float]]:
        trained_folds.append(fold)
        if len(trained_folds) == 2:
            raise KeyboardInterrupt
        return [[0.5, 0.5]]

    with pytest.raises(KeyboardInterrupt):
        out_of_fold_probabilities((0, 1), train_fold, tmp_path)
    out_of_fold_probabilities((0, 1), train_fold, tmp_path)

    assert trained_folds == [0, 1, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fold-0.json", "fold-1.json"]
