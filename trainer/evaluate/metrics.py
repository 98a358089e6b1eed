"""Classification and calibration metrics, for a set of rows and for all its bootstrap resamples at once. Pure.

`truth` always holds the indices of the true labels, `[rows]`, and `probabilities` the predictions, `[rows][labels]`.
scikit-learn has most of these metrics, but needs minutes for a thousand resamples of ten thousand rows.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Positions = NDArray[np.intp]
LabelIndices = NDArray[np.intp]

# Fits a model to the rows at the first positions, and predicts the rows at the second positions.
Fit = Callable[[Positions, Positions], NDArray[Any]]

BINS: Final = 15
RESAMPLES: Final = 1000
LEVEL: Final = 0.95
_MIN_PROBABILITY: Final = 1e-12  # a computed probability of 0 must not make the mean log loss infinite
_CHUNK: Final = 2_000_000  # resample weights in memory at a time, 16 MB


def label_metrics(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """The original specification's extended metrics and macro-F1, from labels alone.

    They serve to choose the checkpoint.
    """
    labels, indices = np.unique(np.concatenate([np.ravel(truth), np.ravel(predicted)]), return_inverse=True)
    true, guessed = (_one_hot(half, len(labels)) for half in np.split(indices, 2))
    metrics = _count_metrics(*(matrix.sum(axis=0, keepdims=True) for matrix in (true, guessed, true * guessed)))
    return {name: float(metrics[name][0]) for name in ("accuracy", "precision", "recall", "f1", "macro_f1")}


def out_of_fold(fit: Fit, folds: ArrayLike) -> NDArray[Any]:
    """Predict each row by a model that is fitted to the other folds. `folds`: each row's number."""
    numbers = np.asarray(folds)
    parts = [np.flatnonzero(numbers == fold) for fold in np.unique(numbers)]
    predicted = np.concatenate([fit(np.setdiff1d(np.arange(len(numbers)), part), part) for part in parts])
    return predicted[np.argsort(np.concatenate(parts))]


def confusion(truth: Ints, guess: Ints, labels: int) -> Ints:
    """The confusion matrix: rows by true label (down) and predicted label (across)."""
    return np.bincount(truth * labels + guess, minlength=labels**2).reshape(labels, labels)


def compute_metrics(truth: Ints, probabilities: Floats, weights: Floats | None = None) -> dict[str, Floats]:
    """All metrics for each resample. `weights` counts how often a row occurs in it, `[resamples][rows]`.

    Without weights there is one resample, in which each row occurs once.

    Returns:
        `[resamples]` by name: `accuracy`; `precision`, `recall` and `f1` weighted by the labels' share; the same as
        plain means over the labels that occur, `macro_*`; `nll`, mean negative log-likelihood in nats; `brier`, the
        mean over rows of the squared distance to the truth over all labels, 0 to 2 (Brier 1950); `ece`, see
        `bins_of`; `auroc_wrong`, the probability that a wrong prediction has less confidence than a right one, NaN
        if there are none of either (Hendrycks & Gimpel 2017, arXiv:1610.02136); `aurc`, the mean risk over all
        coverages, see `risk_coverage` (Geifman & El-Yaniv 2017, arXiv:1705.08500).
        Also `[resamples][labels]`: `precision_of`, `recall_of`, `f1_of`, NaN where a label does not occur.
    """
    rows, labels = probabilities.shape
    weights = np.ones((1, rows)) if weights is None else weights
    total = weights.sum(axis=1)
    guess, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = guess != truth
    is_true, is_guess = _one_hot(truth, labels), _one_hot(guess, labels)
    of_truth = np.maximum(probabilities[np.arange(rows), truth], _MIN_PROBABILITY)
    gaps = weights @ (_one_hot(bins_of(confidence), BINS) * (confidence - ~wrong)[:, None])
    right_at, wrong_at = _by_confidence(confidence, wrong, weights)
    covered = np.cumsum(right_at + wrong_at, axis=1)
    risk = _ratio(np.cumsum(wrong_at, axis=1), covered)
    more_confident = np.cumsum(right_at, axis=1) - right_at / 2
    pairs = right_at.sum(axis=1) * wrong_at.sum(axis=1)
    return _count_metrics(weights @ is_true, weights @ is_guess, weights @ (is_true * is_guess)) | {
        "nll": weights @ -np.log(of_truth) / total,
        "brier": weights @ ((probabilities - is_true) ** 2).sum(axis=1) / total,
        "ece": np.abs(gaps).sum(axis=1) / total,
        "auroc_wrong": _ratio((wrong_at * more_confident).sum(axis=1), pairs, undefined=np.nan),
        "aurc": ((right_at + wrong_at) * risk).sum(axis=1) / total,
    }


def bootstrap(truth: Ints, probabilities: Floats, *, resamples: int = RESAMPLES, seed: int = 42) -> dict[str, Floats]:
    """`compute_metrics` of `resamples` samples of the rows, drawn with replacement (Efron 1979).

    Two models measured on the same rows with the same seed get the same samples: their differences are paired.
    """
    rng, rows = np.random.default_rng(seed), len(truth)
    parts = list[dict[str, Floats]]()
    for start in range(0, resamples, step := max(1, _CHUNK // rows)):
        size = min(step, resamples - start)
        drawn = rng.integers(rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        weights = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
        parts.append(compute_metrics(truth, probabilities, weights.astype(np.float64)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval(samples: Floats) -> Floats:
    """The 95 % percentile interval over resamples, `[2][...]`, without those in which the metric is undefined."""
    tail = (1 - LEVEL) / 2
    return np.nanquantile(samples, (tail, 1 - tail), axis=0)


def bins_of(confidence: Floats) -> Ints:
    """The bin of each row for the expected calibration error (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599).

    Bins have equal mass, not equal width. A fine-tuned model is nearly always very confident: with equal width, the
    last bin would hold almost all rows and hide the differences among them, and the other bins would hold too few
    rows to be informative (Nixon et al. 2019, arXiv:1904.01685). Rows with equal confidence share a bin.
    """
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, confidence, side="right")


def ece_if_exact(confidence: Floats, *, seed: int = 42) -> Floats:
    """Simulated ECEs, `[RESAMPLES]`, of a perfectly calibrated model with these confidences (Bröcker & Smith 2007).

    The simulated ECEs are never 0, because each bin has few rows. A measured ECE in their range does not indicate bad
    calibration.
    """
    rng, bins = np.random.default_rng(seed), _one_hot(bins_of(confidence), BINS)
    hits = (rng.random(len(confidence)) < confidence for _ in range(RESAMPLES))
    return np.array([np.abs((confidence - hit) @ bins).sum() for hit in hits]) / len(confidence)


def risk_coverage(truth: Ints, probabilities: Floats) -> tuple[Floats, Floats, Floats]:
    """The confidence, coverage (share of rows with at least it) and risk (share of these that are wrong) for each
    distinct confidence, highest first (El-Yaniv & Wiener 2010)."""
    confidence = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != truth
    right_at, wrong_at = _by_confidence(confidence, wrong, np.ones((1, len(truth))))
    covered = np.cumsum(right_at[0] + wrong_at[0])
    return np.unique(confidence)[::-1], covered / len(truth), np.cumsum(wrong_at[0]) / covered


def _count_metrics(true: Floats, guessed: Floats, hits: Floats) -> dict[str, Floats]:
    """Metrics from counts per label, `[resamples][labels]`; 0 ÷ 0 is 0 in a mean, as in scikit-learn."""
    total, occurs = true.sum(axis=1), (true + guessed) > 0
    by_label = {
        "precision": _ratio(hits, guessed),
        "recall": _ratio(hits, true),
        "f1": _ratio(2 * hits, true + guessed),
    }
    return (
        {"accuracy": hits.sum(axis=1) / total}
        | {name: (values * true).sum(axis=1) / total for name, values in by_label.items()}
        | {f"macro_{name}": values.sum(axis=1) / occurs.sum(axis=1) for name, values in by_label.items()}
        | {
            f"{name}_of": np.where(true > 0 if name == "recall" else occurs, values, np.nan)
            for name, values in by_label.items()
        }
    )


def _by_confidence(confidence: Floats, wrong: NDArray[np.bool_], weights: Floats) -> tuple[Floats, Floats]:
    """Counts of right and wrong predictions at each distinct confidence, highest first: `[resamples][distinct]`."""
    order = np.argsort(-confidence, kind="stable")
    starts = np.flatnonzero(np.diff(confidence[order], prepend=np.inf))
    weights = weights[:, order]
    all_at = np.add.reduceat(weights, starts, axis=1)
    wrong_at = np.add.reduceat(weights * wrong[order], starts, axis=1)
    return all_at - wrong_at, wrong_at


def _one_hot(indices: Ints, size: int) -> Floats:
    return np.eye(size)[indices]


def _ratio(part: Floats, whole: Floats, undefined: float = 0.0) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.full(part.shape, undefined), where=whole > 0)
    return ratio
