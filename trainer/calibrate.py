"""Make a confidence mean what it says: one temperature for all logits, fitted on rows that trained nothing. Pure.

Not here: where such rows come from (`trainer.folds`), and how sure is sure enough (`trainer.thresholds`).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from triagem.trainer.measures import scores
from triagem.trainer.report import Calibration, Reliability, Way

COLDEST: Final = 0.05
HOTTEST: Final = 20.0
LEAST_ROWS: Final = 10  # two for each turn of the cross-check
_TURNS: Final = 5

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


def calibrate(probabilities: Floats, truth: Places, way: Way, *, otherwise: float = 1.0) -> Calibration:
    """The temperature that these rows ask for, and what it does to rows that it was not fitted on.

    The figures after are cross-fitted: each fifth of the rows is judged with the temperature of the other four.
    Where they are no better than the model's own answers, the temperature stays 1.

    Args:
        probabilities: `[rows][labels]`, of a model whose temperature is 1; each row sums to 1.
        truth: `[rows]`, each row's place among the labels.
        way: how these rows were kept from the training of the model that answered.
        otherwise: the temperature that stands where there are too few rows.
    """
    rows = len(truth)
    if rows < LEAST_ROWS:
        return Calibration(temperature=otherwise, rows=rows, way="none")
    before = reliability(probabilities, truth)
    checked = np.empty_like(probabilities)
    for turn in range(_TURNS):
        mine = np.arange(rows) % _TURNS == turn
        checked[mine] = at_temperature(probabilities[mine], fit_temperature(probabilities[~mine], truth[~mine]))
    after, temperature = reliability(checked, truth), fit_temperature(probabilities, truth)
    if after.nll >= before.nll:
        after, temperature = before, 1.0
    return Calibration(temperature, rows, way, before.nll, after.nll, before.ece, after.ece)


def fit_temperature(probabilities: Floats, truth: Places) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017, arXiv:1706.04599), 0.05 to 20.

    The true label's target is (n + 1) / (n + 2) rather than 1 (Platt 1999): without it, rows that are all answered
    right would ask for a temperature of nothing, and the first error in the field would be a certain one.
    """
    rows, labels = probabilities.shape
    targets = np.full((rows, labels), 1 / (rows + 2) / (labels - 1))
    targets[np.arange(rows), truth] = (rows + 1) / (rows + 2)

    def cost(log_temperature: float) -> float:
        return float(-(targets * _log(at_temperature(probabilities, np.exp(log_temperature)))).sum() / rows)

    found = minimize_scalar(cost, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def at_temperature(probabilities: Floats, temperature: float) -> Floats:
    """What the model would have said at another temperature than 1.

    Log-probabilities are logits up to a constant, which a softmax takes out again.
    """
    answer: Floats = softmax(_log(probabilities) / temperature, axis=1)
    return answer


def reliability(probabilities: Floats, truth: Places) -> Reliability:
    """How far the confidences can be trusted on these rows; `triagem.trainer.measures` has the formulas."""
    figures = scores(truth, probabilities)
    return Reliability(float(figures["nll"][0]), float(figures["ece"][0]))


def _log(probabilities: Floats) -> Floats:
    floored: Floats = np.log(np.clip(probabilities, 1e-300, None))
    return floored
