"""Temperature scaling: fits one temperature for all logits on rows that were not trained on. Pure.

`trainer.cross_validation` chooses the rows, `trainer.thresholds` the confidence that is high enough.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from triagem.trainer.metrics import compute_metrics
from triagem.trainer.report import CalibrationMetrics, CalibrationResult, CalibrationSource

MIN_TEMPERATURE: Final = 0.05
MAX_TEMPERATURE: Final = 20.0
MIN_ROWS: Final = 10  # two for each cross-fitting fold
_FOLDS: Final = 5

Floats = NDArray[np.float64]
LabelIndices = NDArray[np.intp]


def calibrate(
    probabilities: Floats, truth: LabelIndices, source: CalibrationSource, *, fallback_temperature: float = 1.0
) -> CalibrationResult:
    """Fit the temperature, and measure its effect on rows that it was not fitted on.

    The figures after calibration are cross-fitted: each fifth of the rows is scaled with the temperature of the other
    four. If they are no better than the uncalibrated ones, the temperature stays 1.

    Args:
        probabilities: `[rows][labels]`, of a model whose temperature is 1; each row sums to 1.
        truth: `[rows]`, the index of each row's label.
        source: how these rows were kept out of the predicting model's training.
        fallback_temperature: used where there are too few rows.
    """
    rows = len(truth)
    if rows < MIN_ROWS:
        return CalibrationResult(temperature=fallback_temperature, rows=rows, source="none")
    before = calibration_metrics(probabilities, truth)
    scaled = np.empty_like(probabilities)
    for fold in range(_FOLDS):
        held_out = np.arange(rows) % _FOLDS == fold
        temperature = fit_temperature(probabilities[~held_out], truth[~held_out])
        scaled[held_out] = apply_temperature(probabilities[held_out], temperature)
    after, temperature = calibration_metrics(scaled, truth), fit_temperature(probabilities, truth)
    if after.nll >= before.nll:
        after, temperature = before, 1.0
    return CalibrationResult(temperature, rows, source, before.nll, after.nll, before.ece, after.ece)


def fit_temperature(probabilities: Floats, truth: LabelIndices) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017, arXiv:1706.04599), 0.05 to 20.

    The true label's target is (n + 1) / (n + 2) rather than 1 (Platt 1999). Otherwise rows that are all answered
    correctly would give the minimum temperature, and the first error in production would have full confidence.
    """
    rows, labels = probabilities.shape
    targets = np.full((rows, labels), 1 / (rows + 2) / (labels - 1))
    targets[np.arange(rows), truth] = (rows + 1) / (rows + 2)

    def cost(log_temperature: float) -> float:
        return float(-(targets * _log(apply_temperature(probabilities, np.exp(log_temperature)))).sum() / rows)

    minimum = minimize_scalar(cost, bounds=(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)), method="bounded")
    return float(np.exp(minimum.x))


def apply_temperature(probabilities: Floats, temperature: float) -> Floats:
    """The model's probabilities at another temperature than 1.

    Log-probabilities are logits up to a constant, which the softmax cancels.
    """
    scaled: Floats = softmax(_log(probabilities) / temperature, axis=1)
    return scaled


def calibration_metrics(probabilities: Floats, truth: LabelIndices) -> CalibrationMetrics:
    """NLL and ECE on these rows, as `triagem.trainer.metrics` defines them."""
    metrics = compute_metrics(truth, probabilities)
    return CalibrationMetrics(float(metrics["nll"][0]), float(metrics["ece"][0]))


def _log(probabilities: Floats) -> Floats:
    clipped: Floats = np.log(np.clip(probabilities, 1e-300, None))
    return clipped
