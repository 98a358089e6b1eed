"""Temperature scaling: confidences match accuracy afterwards, or stay unchanged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from triagem.trainer.evaluate.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    apply_temperature,
    calibrate,
    calibration_metrics,
    fit_temperature,
)
from triagem.trainer.evaluate.metrics import Floats, LabelIndices


def predictions(rows: int, *, sharper: float = 1.0, labels: int = 2, seed: int = 7) -> tuple[Floats, LabelIndices]:
    """Predictions of a model whose logits are `sharper` times too large, and labels sampled from the true logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (rows, labels))
    true_probabilities = softmax(logits, axis=1)
    truth = np.asarray([rng.choice(labels, p=row) for row in true_probabilities], dtype=np.intp)
    return softmax(logits * sharper, axis=1), truth


@pytest.mark.parametrize(("sharper", "labels"), [(3.0, 2), (0.5, 2), (2.0, 3)])
def test_an_over_or_underconfident_model_gets_the_temperature_that_corrects_it(sharper: float, labels: int) -> None:
    assert fit_temperature(*predictions(4000, sharper=sharper, labels=labels)) == pytest.approx(sharper, rel=0.08)


def test_calibration_lowers_nll_and_ece_on_unseen_rows() -> None:
    probabilities, truth = predictions(4000, sharper=3.0)
    fitted, unseen = calibrate(probabilities[:2000], truth[:2000], "held-out"), slice(2000, None)
    nll, ece = calibration_metrics(probabilities[unseen], truth[unseen])
    nll_after, ece_after = calibration_metrics(
        apply_temperature(probabilities[unseen], fitted.temperature), truth[unseen]
    )

    assert nll_after < nll
    assert ece_after < ece / 2
    assert (fitted.nll_after or 9) < (fitted.nll_before or 0)


def test_without_a_gain_in_cross_validation_the_temperature_stays_1() -> None:
    probabilities = np.tile([0.9, 0.1], (20, 1))
    truth = np.zeros(20, dtype=np.intp)
    truth[::10] = 1  # nine of ten are right, as predicted, but in one fifth of the rows only half are right
    fitted = calibrate(probabilities, truth, "out-of-fold")

    assert fitted.temperature == 1.0
    assert (fitted.nll_before, fitted.ece_before) == (fitted.nll_after, fitted.ece_after)


def test_rows_that_are_all_right_do_not_make_the_model_certain() -> None:
    probabilities = np.tile([0.9, 0.1], (100, 1))
    fitted = calibrate(probabilities, np.zeros(100, dtype=np.intp), "held-out")

    assert apply_temperature(probabilities, fitted.temperature).max() == pytest.approx(101 / 102, abs=1e-3)


def test_too_few_rows_keep_the_fallback_temperature() -> None:
    probabilities, truth = predictions(29, sharper=3.0)
    fitted = calibrate(probabilities, truth, "held-out", fallback_temperature=1.7)

    assert (fitted.temperature, fitted.texts, fitted.source, fitted.nll_before) == (1.7, 29, "none", None)
    assert calibrate(*predictions(30, sharper=3.0), "held-out").temperature > 1.7
    assert "too few different texts (29)" in fitted.summary


def test_the_metrics_after_calibration_are_out_of_fold() -> None:
    probabilities, truth = predictions(60, sharper=3.0)
    fitted = calibrate(probabilities, truth, "held-out")
    seen, _ = calibration_metrics(apply_temperature(probabilities, fitted.temperature), truth)

    assert fitted.nll_after != pytest.approx(seen, abs=1e-6)


@given(st.integers(1, 60), st.integers(2, 5), st.floats(0.1, 10), st.integers(0, 99))
def test_a_temperature_is_within_bounds_and_changes_no_label(
    rows: int, labels: int, sharper: float, seed: int
) -> None:
    probabilities, truth = predictions(rows, sharper=sharper, labels=labels, seed=seed)
    temperature = fit_temperature(probabilities, truth)
    changed = apply_temperature(probabilities, temperature)

    assert MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE
    assert changed.sum(axis=1) == pytest.approx(1)
    assert (changed.argmax(axis=1) == probabilities.argmax(axis=1)).all()
