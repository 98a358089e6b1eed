"""Estimates the macro-F1 of the head on all texts, with an interval, and finds suspicious answers. Pure.

Cross-validation on answers that were chosen for their uncertainty is too pessimistic. So the answers only calibrate
the head's scores. The calibrated probabilities of all texts then give the expected confusion matrix.
"""

from math import ceil
from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from triagem.db.reviews.labelling import MIN_ESTIMATED, MIN_ESTIMATED_LABEL, LabellingProgress
from triagem.trainer.active.linear import one_blas_thread
from triagem.trainer.active.pool import Pool
from triagem.trainer.evaluate.metrics import Floats, LabelIndices

TARGET: Final = 0.9
_COVERAGE: Final = 0.9
_RESAMPLES: Final = 100
_WIDENED: Final = 2.5  # chosen on 27 simulated starts of companies that `python -m bench cold-start` does not use
_WRONG_ANSWERS: Final = 0.5  # of the prior: on separable answers, the slope would be infinite without it
_PRECISION: Final = (0.05, 0.3)  # of the priors of log slope and bias


@one_blas_thread
def estimate_progress(pool: Pool) -> LabellingProgress | None:
    """The estimate; None with fewer than `MIN_ESTIMATED` answers, of one label only, or without a text left.

    It leaves out labels with fewer than `MIN_ESTIMATED_LABEL` answers: their F1 is near 0 until the head has learned
    them, and the mean would say nothing about the other labels.

    The interval comes from a Bayesian bootstrap of the answers and of the prior's wrong answers (Rubin 1981; Muliere
    and Secchi 1996). It is widened, because the resamples do not refit the head.
    """
    unanswered, pool = pool.unanswered, pool.answered(MIN_ESTIMATED_LABEL)
    answers = len(pool.truth)
    if answers < MIN_ESTIMATED or len(pool.labels) < 2 or not len(unanswered):
        return None
    rng = np.random.default_rng([0, answers])
    scores, logits = pool.out_of_fold(), pool.fit().logits(pool.points[unanswered])

    def macro_f1(weights: Floats, wrong_answers: float) -> float:
        return _expected_macro_f1(logits, *fit_platt(scores, pool.truth, weights, wrong_answers))

    point = macro_f1(np.ones(answers), _WRONG_ANSWERS)
    samples = [
        macro_f1(answers * rng.dirichlet(np.ones(answers)), rng.exponential(_WRONG_ANSWERS))
        for _ in range(_RESAMPLES)
    ]
    below, above = np.quantile(samples, [(1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2]) - point
    return LabellingProgress(
        answers,
        point,
        max(0.0, point + _WIDENED * min(0.0, float(below))),
        min(1.0, point + _WIDENED * max(0.0, float(above))),
        answers_missing(answers, point),
    )


def answers_missing(answers: int, macro_f1: float) -> int:
    """About how many more answers reach `TARGET`, if the error falls with the square root of the number."""
    needed = answers * max(1.0, ((1 - macro_f1) / (1 - TARGET)) ** 2)
    return ceil((needed - answers) / 10) * 10


def fit_platt(logits: Floats, truth: LabelIndices, weights: Floats, wrong_answers: float) -> tuple[float, Floats]:
    """Platt's scaling (1999) for any number of labels: calibrated probabilities are softmax(slope · logits + bias).

    Args:
        weights: of the texts.
        wrong_answers: added to each label before the fit; 1 in Platt's paper.
    """
    texts, labels = logits.shape
    targets = np.full((texts, labels), wrong_answers / (texts + 2 * wrong_answers) / (labels - 1))
    targets[np.arange(texts), truth] = (texts + wrong_answers) / (texts + 2 * wrong_answers)
    precision = np.array([_PRECISION[0], *[_PRECISION[1]] * labels])

    def cost(parameters: Floats) -> tuple[float, Floats]:
        slope = np.exp(parameters[0])
        log_probabilities = log_softmax(slope * logits + parameters[1:], axis=1)
        error = (np.exp(log_probabilities) - targets) * weights[:, None]
        penalty = (precision * parameters**2).sum() / 2
        gradient = np.concatenate([[slope * (error * logits).sum()], error.sum(axis=0)]) + precision * parameters
        return float(-(weights[:, None] * targets * log_probabilities).sum() + penalty), gradient

    bounds = [(-3, 5), *[(-8, 8)] * labels]  # exp must not overflow on the way to the minimum
    best = minimize(cost, np.zeros(1 + labels), jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(best[0])), best[1:]


def _expected_macro_f1(logits: Floats, slope: float, bias: Floats) -> float:
    """Macro-F1 of the head's predictions if the calibrated probabilities are right."""
    probabilities = softmax(slope * logits + bias, axis=1)
    predicted = np.eye(logits.shape[1])[logits.argmax(axis=1)]
    right, of_label = (probabilities * predicted).sum(axis=0), probabilities.sum(axis=0)
    return float((2 * right / (of_label + predicted.sum(axis=0))).mean())


@one_blas_thread
def suspicious_answers(pool: Pool) -> list[int]:
    """Texts whose answer is contradicted by a head fitted without that answer, the strongest contradiction first."""
    if len(set(pool.truth.tolist())) < 2:
        return []
    logits, rows = pool.out_of_fold(), np.arange(len(pool.truth))
    excess = logits.max(axis=1) - logits[rows, pool.truth]
    return [int(pool.positions[row]) for row in np.argsort(-excess, kind="stable") if excess[row] > 0]
