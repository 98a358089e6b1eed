"""The threshold is as low as the rows prove, and no lower."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from triagem.contracts.prediction import Thresholds
from triagem.trainer.thresholds import fewest_rows, lower_bound, review_budget, review_threshold, rows_needed

some_rows = st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), max_size=200)
some_precisions = st.sampled_from([0.6, 0.8, 0.9, 0.95])


def proved_at(rows: list[tuple[float, bool]], wanted: float) -> float:
    """The threshold that is proved; where none is, one that nothing reaches."""
    found = review_threshold(np.asarray([c for c, _ in rows]), np.asarray([r for _, r in rows], dtype=bool), wanted)
    return 2.0 if found.proven_precision is None else found.review


def ladder(rows: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Confidences from 0.5 to 1, all different."""
    return np.linspace(1, 0.5, rows)


def test_rows_that_are_all_right_are_all_acted_upon() -> None:
    found = review_threshold(ladder(200), np.ones(200, bool), 0.95)

    assert (found.review, found.rows, found.right) == (0.5, 200, 200)
    assert found.proven_precision == pytest.approx(0.05 ** (1 / 200))


def test_errors_among_the_least_sure_raise_it() -> None:
    correct = np.arange(400) < 300  # the surest 300 are right, all others wrong
    found = review_threshold(ladder(400), correct, 0.95)

    assert 0.5 < found.review < ladder(400)[299]
    assert found.proven_precision
    assert 0.95 <= found.proven_precision < found.right / found.rows


def test_rows_of_one_confidence_are_taken_together_or_not_at_all() -> None:
    confidence = np.asarray([0.9] * 100 + [0.6] * 100)
    correct = np.asarray([True] * 100 + [True] * 50 + [False] * 50)

    assert review_threshold(confidence, correct, 0.95).review == 0.9


def test_one_chance_error_among_the_surest_ends_nothing() -> None:
    correct = np.ones(400, bool)
    correct[10] = False
    found = review_threshold(ladder(400), correct, 0.95)

    assert (found.review, found.right) == (0.5, 399)


def test_too_few_rows_leave_the_seeds_figure_and_say_how_many_are_missing() -> None:
    found = review_threshold(ladder(50), np.ones(50, bool), 0.95)

    assert (found.review, found.proven_precision, found.rows_missing) == (Thresholds().review, None, 59 - 50)
    assert "9 more rows with the same accuracy would" in found.summary


def test_no_rows_at_all_miss_the_fewest() -> None:
    found = review_threshold(np.asarray([]), np.asarray([], dtype=bool), 0.9)

    assert (found.review, found.rows, found.rows_missing) == (Thresholds().review, 0, fewest_rows(0.9))


def test_what_is_missing_is_counted_at_the_precision_that_was_seen() -> None:
    correct = np.ones(100, bool)
    correct[[10, 20]] = False  # of the surest 59 two are wrong: 96.6 %
    found = review_threshold(ladder(100), correct, 0.95)
    needed = rows_needed(57 / 59, 0.95)

    assert needed
    assert (found.rows, found.right, found.rows_missing) == (59, 57, -(-needed * 100 // 59) - 100)


def test_a_model_that_is_wrong_too_often_is_not_told_to_gather_rows() -> None:
    found = review_threshold(ladder(300), np.arange(300) % 5 > 0, 0.95)

    assert (found.review, found.proven_precision, found.rows_missing) == (Thresholds().review, None, None)
    assert "too few for more rows to prove" in found.summary


@given(some_rows, some_precisions, st.data())
def test_one_more_error_never_lowers_it(rows: list[tuple[float, bool]], wanted: float, data: st.DataObject) -> None:
    if not rows:
        return
    place = data.draw(st.integers(0, len(rows) - 1))
    worse = [(c, r and at != place) for at, (c, r) in enumerate(rows)]

    assert proved_at(worse, wanted) >= proved_at(rows, wanted)


@given(some_rows)
def test_a_higher_precision_never_lowers_it(rows: list[tuple[float, bool]]) -> None:
    thresholds = [proved_at(rows, wanted) for wanted in (0.9, 0.95)]
    if fewest_rows(0.95) <= -(-len(rows) // 4):  # else the stricter one begins its looks elsewhere
        assert thresholds == sorted(thresholds)


@given(some_rows, some_precisions)
def test_what_is_proved_holds_of_the_rows_at_or_above_it(rows: list[tuple[float, bool]], wanted: float) -> None:
    confidence, correct = np.asarray([c for c, _ in rows]), np.asarray([r for _, r in rows], dtype=bool)
    found = review_threshold(confidence, correct, wanted)
    above = correct[confidence >= found.review]

    if found.proven_precision is not None:
        assert (found.rows, found.right) == (len(above), above.sum())
        assert wanted <= found.proven_precision < found.right / found.rows


@given(st.permutations(list(range(80))))
def test_the_order_of_the_rows_does_not_matter(order: list[int]) -> None:
    rows = [(0.5 + place / 160, place % 40 > 0) for place in range(80)]

    assert proved_at([rows[place] for place in order], 0.9) == proved_at(rows, 0.9)


def test_at_most_one_promise_in_twenty_is_too_high() -> None:
    """Of 400 models that are right in hardly less than 95 % at every confidence; no lucky look."""
    rng = np.random.default_rng(3)
    promised = sum(
        review_threshold(ladder(500), rng.random(500) < 0.9499, 0.95).proven_precision is not None for _ in range(400)
    )

    assert promised <= binom.ppf(0.999, 400, 0.05)
    assert promised > 0


@given(st.integers(1, 400), st.data())
def test_the_bound_is_the_precision_at_which_so_many_would_be_right_in_one_case_of_twenty(
    rows: int, data: st.DataObject
) -> None:
    right = data.draw(st.integers(1, rows))
    proven_precision = float(lower_bound(np.int_(right), np.int_(rows)))

    assert binom.sf(right - 1, rows, proven_precision) == pytest.approx(0.05, rel=1e-6)


@given(st.floats(0.5, 0.99))
def test_the_fewest_rows_that_prove_a_precision_do_and_one_less_does_not(wanted: float) -> None:
    rows = fewest_rows(wanted)

    assert rows >= log(0.05) / log(wanted)
    assert lower_bound(np.int_(rows), np.int_(rows)) >= wanted - 1e-12
    assert lower_bound(np.int_(rows - 1), np.int_(rows - 1)) < wanted
    assert rows_needed(1.0, wanted) == rows


def test_rows_needed_prove_it_and_nothing_proves_what_is_not_so() -> None:
    needed = rows_needed(0.97, 0.95)

    assert needed
    assert lower_bound(np.int_(round(0.97 * needed)), np.int_(needed)) >= 0.95
    assert rows_needed(0.95, 0.95) is None


@pytest.mark.parametrize(("wrong", "budget"), [(0.0, 0.05), (0.1, 0.2), (0.4, 0.5)])
def test_the_review_budget_is_twice_the_errors_within_reason(wrong: float, budget: float) -> None:
    assert review_budget(wrong) == budget
