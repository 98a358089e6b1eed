"""Calibrates a model on rows that it was not trained on: temperature, review threshold, review budget, abstentions.

One temperature scales all logits. `triagem.trainer.fit.cross_validation` chooses the rows.
"""

from collections import Counter
from collections.abc import Sequence
from math import ceil, log
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from scipy.stats import beta

from triagem.contracts.abstain import abstain_reason, unlearned_reason
from triagem.contracts.model import Model
from triagem.contracts.prediction import Thresholds
from triagem.engine.language import language_probabilities
from triagem.trainer.data.near_duplicates import distinct_rows
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.metrics import Floats, LabelIndices, compute_metrics
from triagem.trainer.evaluate.report import CalibrationResult, CalibrationSource, ReviewThreshold

MIN_TEMPERATURE: Final = 0.05
MAX_TEMPERATURE: Final = 20.0
# with fewer texts, a fitted temperature is often worse than none: docs/measurements/few_texts.py
MIN_ROWS: Final = 30
MAX_ERROR_PROBABILITY: Final = 0.05  # the probability that a threshold has less than the target precision
_FOLDS: Final = 5
_MOST_ROWS: Final = 1_000_000


def calibrate(
    probabilities: Floats, truth: LabelIndices, source: CalibrationSource, *, fallback_temperature: float = 1.0
) -> CalibrationResult:
    """Fit the temperature, and measure its effect on rows that were not used to fit it.

    The figures after calibration are cross-fitted: each fifth of the rows is scaled with the temperature of the other
    four. If they are no better than the uncalibrated ones, the temperature stays 1.

    Args:
        probabilities: `[rows][labels]`, of a model whose temperature is 1; each row sums to 1.
        truth: `[rows]`, the index of each row's label.
        source: the way in which these rows were held out from the predicting model's training.
        fallback_temperature: used where there are too few rows.
    """
    rows = len(truth)
    if rows < MIN_ROWS:
        return CalibrationResult(temperature=fallback_temperature, texts=rows, source="none")
    nll, ece = calibration_metrics(probabilities, truth)
    scaled = np.empty_like(probabilities)
    for fold in range(_FOLDS):
        held_out = np.arange(rows) % _FOLDS == fold
        temperature = fit_temperature(probabilities[~held_out], truth[~held_out])
        scaled[held_out] = apply_temperature(probabilities[held_out], temperature)
    nll_after, ece_after = calibration_metrics(scaled, truth)
    if nll_after >= nll:
        return CalibrationResult(1.0, rows, source, nll, nll, ece, ece)
    return CalibrationResult(fit_temperature(probabilities, truth), rows, source, nll, nll_after, ece, ece_after)


def fit_temperature(probabilities: Floats, truth: LabelIndices) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017, arXiv:1706.04599), 0.05 to 20.

    The true label's target is (n + 1) / (n + 2) rather than 1 (Platt 1999). With hard targets, rows that are all
    predicted correctly would give the minimum temperature, and the first error in production would have full
    confidence.
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


def calibration_metrics(probabilities: Floats, truth: LabelIndices) -> tuple[float, float]:
    """NLL and ECE on these rows, as `triagem.trainer.evaluate.metrics` defines them."""
    metrics = compute_metrics(truth, probabilities)
    return float(metrics["nll"][0]), float(metrics["ece"][0])


def review_threshold(
    confidence: Floats,
    correct: NDArray[np.bool_],
    target_precision: float,
    max_error: float = MAX_ERROR_PROBABILITY,
) -> ReviewThreshold:
    """The lowest confidence such that rows at or above it have the target precision, with 95 % certainty.

    The certainty is one-sided, by Clopper and Pearson's bound (1934). Thresholds are tested from the strictest one
    down to the first failure: because the order is fixed in advance, each test may use the whole error probability of
    5 % (Angelopoulos et al. 2021, "Learn then test", arXiv:2110.01052). The order depends on confidences only, never
    on which rows are right. The strictest threshold keeps a quarter of the rows. If it kept only the fewest rows that
    can prove the target, one random error would end the search.

    Args:
        confidence: `[rows]`, of the predicted label.
        correct: `[rows]`, whether the prediction is right.
        target_precision: between 0 and 1, exclusive.
        max_error: the probability that the precision is less.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered, right = confidence[order], correct[order].cumsum()
    rows = len(ordered)
    start = max(fewest_rows(target_precision, max_error), ceil(rows / 4))
    last_of_ties = np.append(ordered[1:] != ordered[:-1], True) if rows else np.zeros(0, bool)
    candidates = np.flatnonzero(last_of_ties & (np.arange(rows) + 1 >= start))
    passed = lower_bound(right[candidates], candidates + 1, max_error) >= target_precision
    proved = candidates[: len(candidates) if passed.all() else int(passed.argmin())]
    if len(proved):
        last = int(proved[-1])
        bound = float(lower_bound(right[last], np.int_(last + 1), max_error))
        return ReviewThreshold(float(ordered[last]), target_precision, last + 1, int(right[last]), bound)
    tried = int(candidates[0]) + 1 if len(candidates) else rows
    hits = int(right[tried - 1]) if tried else 0
    needed = rows_needed(hits / tried if tried else 1.0, target_precision, max_error)
    missing = None if needed is None else ceil(needed * rows / tried) - rows if tried else needed
    return ReviewThreshold(Thresholds().review, target_precision, tried, hits, None, missing)


def review_budget(wrong: float) -> float:
    """Twice the model's error rate, between 5 and 50 %: this share with the lowest confidence is always reviewed.

    It is twice the error rate because the ranking by confidence is far from perfect: on messages of unseen domains,
    with an error rate of 23 %, the 25 % with the lowest confidence held 54 % of the errors.
    """
    return min(0.5, max(0.05, round(2 * wrong, 3)))


def fewest_rows(target_precision: float, max_error: float = MAX_ERROR_PROBABILITY) -> int:
    """The number of rows, all right, that prove the precision: the least n with target_precision ** n <= 5 %."""
    return ceil(log(max_error) / log(target_precision))


def rows_needed(precision: float, target_precision: float, max_error: float = MAX_ERROR_PROBABILITY) -> int | None:
    """The number of rows that prove the target if `precision` of them are right; None if no number does."""
    if precision <= target_precision:
        return None
    low, high = 0, fewest_rows(target_precision, max_error)
    while not _proves(precision, high, target_precision, max_error):
        low, high = high, 2 * high
        if high > _MOST_ROWS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _proves(precision, middle, target_precision, max_error) else (middle, high)
    return high


def lower_bound(
    right: NDArray[np.int_] | np.int_, rows: NDArray[np.int_] | np.int_, max_error: float = MAX_ERROR_PROBABILITY
) -> Floats:
    """Clopper and Pearson's one-sided lower bound of the precision."""
    return np.where(right == 0, 0.0, beta.ppf(max_error, np.maximum(right, 1), rows - right + 1))


def undecided_note(model: Model, rows: Sequence[Row]) -> str:
    """A line for a person: the texts without a decision by reason, and the upper bound of their share.

    They are customers' messages, so each text without a decision counts as an error.

    Args:
        rows: test rows, which were not used to set the model's limits.
    """
    texts = [rows[index].text for index in distinct_rows(rows)]
    reasons = Counter(
        reason.value
        for text, tokens in zip(texts, model.tokenize(texts), strict=True)
        if (
            reason := abstain_reason(text, text)
            or unlearned_reason(text, tokens, language_probabilities(text), model.manifest.thresholds)
        )
    )
    bound = 1 - float(lower_bound(np.int_(len(texts) - reasons.total()), np.int_(len(texts))))
    named = f" ({', '.join(f'{reason} {count:,}' for reason, count in reasons.most_common())})" if reasons else ""
    return (
        f"{reasons.total():,} of {len(texts):,} test texts get no decision{named}: with 95% confidence, at most "
        f"{bound:.1%} of such messages"
    )


def _proves(precision: float, rows: int, target_precision: float, max_error: float) -> bool:
    right = np.int_(int(precision * rows + 1e-9))
    return bool(lower_bound(right, np.int_(rows), max_error) >= target_precision)


def _log(probabilities: Floats) -> Floats:
    clipped: Floats = np.log(np.clip(probabilities, 1e-300, None))
    return clipped
