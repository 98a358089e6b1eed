"""A temperature makes confidences mean what they say, or stays out of the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from triagem.trainer.temperature_scaling import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    Floats,
    LabelIndices,
    apply_temperature,
    calibrate,
    calibration_metrics,
    fit_temperature,
)


def answers(rows: int, *, sharper: float = 1.0, labels: int = 2, seed: int = 7) -> tuple[Floats, LabelIndices]:
    """Answers of a model whose logits are `sharper` times too long, and labels drawn as the right logits say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (rows, labels))
    right = softmax(logits, axis=1)
    truth = np.asarray([rng.choice(labels, p=row) for row in right], dtype=np.intp)
    return softmax(logits * sharper, axis=1), truth


@pytest.mark.parametrize(("sharper", "labels"), [(3.0, 2), (0.5, 2), (2.0, 3)])
def test_a_model_that_is_too_sure_or_not_sure_enough_gets_the_temperature_that_mends_it(
    sharper: float, labels: int
) -> None:
    assert fit_temperature(*answers(4000, sharper=sharper, labels=labels)) == pytest.approx(sharper, rel=0.08)


def test_calibration_makes_unseen_rows_likelier_and_the_error_of_confidences_smaller() -> None:
    said, truth = answers(4000, sharper=3.0)
    fitted, unseen = calibrate(said[:2000], truth[:2000], "held-out"), slice(2000, None)
    before = calibration_metrics(said[unseen], truth[unseen])
    after = calibration_metrics(apply_temperature(said[unseen], fitted.temperature), truth[unseen])

    assert after.nll < before.nll
    assert after.ece < before.ece / 2
    assert (fitted.nll_after or 9) < (fitted.nll_before or 0)


def test_where_the_cross_check_finds_no_gain_the_temperature_stays_one() -> None:
    said = np.tile([0.9, 0.1], (20, 1))
    truth = np.zeros(20, dtype=np.intp)
    truth[::10] = 1  # nine of ten are right, as the model says, but in one fifth of the rows only half are
    fitted = calibrate(said, truth, "out-of-fold")

    assert fitted.temperature == 1.0
    assert (fitted.nll_before, fitted.ece_before) == (fitted.nll_after, fitted.ece_after)


def test_rows_that_are_all_right_do_not_make_the_model_certain() -> None:
    said = np.tile([0.9, 0.1], (100, 1))
    fitted = calibrate(said, np.zeros(100, dtype=np.intp), "held-out")

    assert apply_temperature(said, fitted.temperature).max() == pytest.approx(101 / 102, abs=1e-3)


def test_few_rows_fit_nothing_and_leave_what_was() -> None:
    said, truth = answers(9)
    fitted = calibrate(said, truth, "held-out", fallback_temperature=1.7)

    assert (fitted.temperature, fitted.rows, fitted.source, fitted.nll_before) == (1.7, 9, "none", None)
    assert "9 rows are too few" in fitted.summary


def test_the_figures_after_are_of_temperatures_that_did_not_see_the_row() -> None:
    said, truth = answers(60, sharper=3.0)
    fitted = calibrate(said, truth, "held-out")
    seen = calibration_metrics(apply_temperature(said, fitted.temperature), truth).nll

    assert fitted.nll_after != pytest.approx(seen, abs=1e-6)


@given(st.integers(1, 60), st.integers(2, 5), st.floats(0.1, 10), st.integers(0, 99))
def test_a_temperature_is_within_bounds_and_changes_no_label(
    rows: int, labels: int, sharper: float, seed: int
) -> None:
    said, truth = answers(rows, sharper=sharper, labels=labels, seed=seed)
    temperature = fit_temperature(said, truth)
    changed = apply_temperature(said, temperature)

    assert MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE
    assert changed.sum(axis=1) == pytest.approx(1)
    assert (changed.argmax(axis=1) == said.argmax(axis=1)).all()
