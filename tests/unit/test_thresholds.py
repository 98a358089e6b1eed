"""The review threshold is the lowest one that the rows prove."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from triagem.contracts.prediction import Thresholds
from triagem.trainer.evaluate.calibration import (
    fewest_rows,
    lower_bound,
    review_budget,
    review_threshold,
    rows_needed,
)
from triagem.trainer.evaluate.report import ReviewThreshold

row_lists = st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), max_size=200)
precisions = st.sampled_from([0.6, 0.8, 0.9, 0.95])


def proven_threshold(rows: list[tuple[float, bool]], precision: float) -> float:
    """The proven threshold, or 2.0 if no threshold is proven."""
    threshold = review_threshold(
        np.asarray([c for c, _ in rows]), np.asarray([r for _, r in rows], dtype=bool), precision
    )
    return 2.0 if threshold.proven_precision is None else threshold.review


def descending(rows: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Confidences from 0.5 to 1, all different."""
    return np.linspace(1, 0.5, rows)


def test_without_errors_all_rows_are_above_the_threshold() -> None:
    threshold = review_threshold(descending(200), np.ones(200, bool), 0.95)

    assert (threshold.review, threshold.texts, threshold.right) == (0.5, 200, 200)
    assert threshold.proven_precision == pytest.approx(0.05 ** (1 / 200))


def test_errors_at_low_confidence_raise_the_threshold() -> None:
    correct = np.arange(400) < 300  # the 300 with the highest confidence are right, all others wrong
    threshold = review_threshold(descending(400), correct, 0.95)

    assert 0.5 < threshold.review < descending(400)[299]
    assert threshold.proven_precision
    assert 0.95 <= threshold.proven_precision < threshold.right / threshold.texts


def test_rows_of_equal_confidence_are_on_the_same_side_of_the_threshold() -> None:
    confidence = np.asarray([0.9] * 100 + [0.6] * 100)
    correct = np.asarray([True] * 100 + [True] * 50 + [False] * 50)

    assert review_threshold(confidence, correct, 0.95).review == 0.9


def test_one_error_at_high_confidence_does_not_raise_the_threshold() -> None:
    correct = np.ones(400, bool)
    correct[10] = False
    threshold = review_threshold(descending(400), correct, 0.95)

    assert (threshold.review, threshold.right) == (0.5, 399)


def test_too_few_rows_keep_the_default_threshold_and_report_how_many_are_missing() -> None:
    threshold = review_threshold(descending(50), np.ones(50, bool), 0.95)

    assert (threshold.review, threshold.proven_precision, threshold.texts_missing) == (
        Thresholds().review,
        None,
        59 - 50,
    )
    assert "9 more with the same accuracy would" in threshold.summary


def test_a_number_of_missing_rows_that_nobody_will_label_is_not_exact() -> None:
    threshold = ReviewThreshold(0.7, 0.95, texts=61, right=58, texts_missing=239_850)

    assert "58 of them right, do not prove 95%; over 10,000 more with the same accuracy would" in threshold.summary


def test_without_rows_the_minimum_number_is_missing() -> None:
    threshold = review_threshold(np.asarray([]), np.asarray([], dtype=bool), 0.9)

    assert (threshold.review, threshold.texts, threshold.texts_missing) == (Thresholds().review, 0, fewest_rows(0.9))
    assert "no held-out text reaches it; 29 right ones would prove 90%" in threshold.summary


def test_missing_rows_are_counted_at_the_observed_precision() -> None:
    correct = np.ones(100, bool)
    correct[[10, 20]] = False  # of the 59 with the highest confidence two are wrong: 96.6 %
    threshold = review_threshold(descending(100), correct, 0.95)
    needed = rows_needed(57 / 59, 0.95)

    assert needed
    assert (threshold.texts, threshold.right, threshold.texts_missing) == (59, 57, -(-needed * 100 // 59) - 100)


def test_an_inaccurate_model_is_not_advised_to_add_rows() -> None:
    threshold = review_threshold(descending(300), np.arange(300) % 5 > 0, 0.95)

    assert threshold.review == Thresholds().review
    assert (threshold.proven_precision, threshold.texts_missing) == (None, None)
    assert "so no number of texts can prove" in threshold.summary


@given(row_lists, precisions, st.data())
def test_one_more_error_never_lowers_the_threshold(
    rows: list[tuple[float, bool]], precision: float, data: st.DataObject
) -> None:
    if not rows:
        return
    flipped = data.draw(st.integers(0, len(rows) - 1))
    worse = [(c, r and index != flipped) for index, (c, r) in enumerate(rows)]

    assert proven_threshold(worse, precision) >= proven_threshold(rows, precision)


@given(row_lists)
def test_a_higher_precision_never_lowers_the_threshold(rows: list[tuple[float, bool]]) -> None:
    thresholds = [proven_threshold(rows, precision) for precision in (0.9, 0.95)]
    if fewest_rows(0.95) <= -(-len(rows) // 4):  # with another number, the stricter search would start at another row
        assert thresholds == sorted(thresholds)


@given(row_lists, precisions)
def test_a_proven_precision_holds_for_the_rows_at_or_above_the_threshold(
    rows: list[tuple[float, bool]], precision: float
) -> None:
    confidence, correct = np.asarray([c for c, _ in rows]), np.asarray([r for _, r in rows], dtype=bool)
    threshold = review_threshold(confidence, correct, precision)
    above = correct[confidence >= threshold.review]

    if threshold.proven_precision is not None:
        assert (threshold.texts, threshold.right) == (len(above), above.sum())
        assert precision <= threshold.proven_precision < threshold.right / threshold.texts


@given(st.permutations(list(range(80))))
def test_the_order_of_the_rows_does_not_matter(order: list[int]) -> None:
    rows = [(0.5 + index / 160, index % 40 > 0) for index in range(80)]

    assert proven_threshold([rows[index] for index in order], 0.9) == proven_threshold(rows, 0.9)


def test_at_most_one_proven_precision_in_twenty_is_too_high() -> None:
    """400 models with an accuracy just below 95 % at every confidence: repeated tests add no false proofs."""
    rng = np.random.default_rng(3)
    proven = sum(
        review_threshold(descending(500), rng.random(500) < 0.9499, 0.95).proven_precision is not None
        for _ in range(400)
    )

    assert proven <= binom.ppf(0.999, 400, 0.05)
    assert proven > 0


@given(st.integers(1, 400), st.data())
def test_the_lower_bound_is_the_exact_one_sided_95_percent_bound(rows: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(1, rows))
    proven_precision = float(lower_bound(np.int_(right), np.int_(rows)))

    assert binom.sf(right - 1, rows, proven_precision) == pytest.approx(0.05, rel=1e-6)


@given(st.floats(0.5, 0.99))
def test_the_fewest_rows_prove_a_precision_and_one_row_less_does_not(precision: float) -> None:
    rows = fewest_rows(precision)

    assert rows >= log(0.05) / log(precision)
    assert lower_bound(np.int_(rows), np.int_(rows)) >= precision - 1e-12
    assert lower_bound(np.int_(rows - 1), np.int_(rows - 1)) < precision
    assert rows_needed(1.0, precision) == rows


def test_the_rows_needed_prove_the_precision_and_no_number_proves_an_unmet_one() -> None:
    needed = rows_needed(0.97, 0.95)

    assert needed
    assert lower_bound(np.int_(round(0.97 * needed)), np.int_(needed)) >= 0.95
    assert rows_needed(0.95, 0.95) is None


@pytest.mark.parametrize(("wrong", "budget"), [(0.0, 0.05), (0.1, 0.2), (0.4, 0.5)])
def test_the_review_budget_is_twice_the_error_rate_within_bounds(wrong: float, budget: float) -> None:
    assert review_budget(wrong) == budget
