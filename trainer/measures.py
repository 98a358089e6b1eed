"""How good answers are: formulas from arrays to numbers, each once, for some rows and for all their resamples. Pure.

Everywhere `truth` holds the places of the true labels, `[rows]`, and `probabilities` what was said,
`[rows][labels]`.
scikit-learn has most of these for one set of rows; a thousand resamples of ten thousand rows would take it minutes.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS: Final = 15
RESAMPLES: Final = 1000
LEVEL: Final = 0.95
_LEAST: Final = 1e-12  # a probability that came out as 0 must not make the mean log loss infinite
_AT_A_TIME: Final = 2_000_000  # weights of resamples in memory, 16 MB


def measure(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """The seed document's extended metrics and macro-F1, of labels alone: what the checkpoint is chosen by."""
    labels, places = np.unique(np.concatenate([np.ravel(truth), np.ravel(predicted)]), return_inverse=True)
    true, said = (_one_hot(half, len(labels)) for half in np.split(places, 2))
    counted = _of_counts(*(which.sum(axis=0, keepdims=True) for which in (true, said, true * said)))
    return {name: float(counted[name][0]) for name in ("accuracy", "precision", "recall", "f1", "macro_f1")}


def confusion(truth: Ints, guess: Ints, labels: int) -> Ints:
    """How many rows of each true label (down) got each label (across)."""
    return np.bincount(truth * labels + guess, minlength=labels**2).reshape(labels, labels)


def scores(truth: Ints, probabilities: Floats, weights: Floats | None = None) -> dict[str, Floats]:
    """All figures, for each line of `weights`: how often a row stands in a resample, `[resamples][rows]`.

    Without weights each row stands once, and the answer has one line.

    Returns:
        `[resamples]` by name: `accuracy`; `precision`, `recall` and `f1` weighted by the labels' share; the same as
        plain means over the labels that occur, `macro_*`; `nll`, mean negative log-likelihood in nats; `brier`, the
        mean over rows of the squared distance to the truth over all labels, 0 to 2 (Brier 1950); `ece`, see
        `bins_of`; `auroc_wrong`, how likely a wrong answer is less sure than a right one, NaN where either is
        missing (Hendrycks & Gimpel 2017, arXiv:1610.02136); `aurc`, the mean risk over all coverages, see
        `risk_coverage` (Geifman & El-Yaniv 2017, arXiv:1705.08500).
        And `[resamples][labels]`: `precision_of`, `recall_of`, `f1_of`, NaN where a label does not occur.
    """
    rows, labels = probabilities.shape
    weights = np.ones((1, rows)) if weights is None else weights
    total = weights.sum(axis=1)
    guess, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = guess != truth
    is_true, is_said = _one_hot(truth, labels), _one_hot(guess, labels)
    of_truth = np.maximum(probabilities[np.arange(rows), truth], _LEAST)
    gaps = weights @ (_one_hot(bins_of(confidence), BINS) * (confidence - ~wrong)[:, None])
    right_at, wrong_at = _by_confidence(confidence, wrong, weights)
    answered = np.cumsum(right_at + wrong_at, axis=1)
    risk = _share(np.cumsum(wrong_at, axis=1), answered)
    surer = np.cumsum(right_at, axis=1) - right_at / 2
    pairs = right_at.sum(axis=1) * wrong_at.sum(axis=1)
    return _of_counts(weights @ is_true, weights @ is_said, weights @ (is_true * is_said)) | {
        "nll": weights @ -np.log(of_truth) / total,
        "brier": weights @ ((probabilities - is_true) ** 2).sum(axis=1) / total,
        "ece": np.abs(gaps).sum(axis=1) / total,
        "auroc_wrong": _share((wrong_at * surer).sum(axis=1), pairs, otherwise=np.nan),
        "aurc": ((right_at + wrong_at) * risk).sum(axis=1) / total,
    }


def resampled(truth: Ints, probabilities: Floats, *, resamples: int = RESAMPLES, seed: int = 42) -> dict[str, Floats]:
    """`scores` of as many rows drawn with replacement, `resamples` times (Efron 1979).

    Two models measured on the same rows with the same seed get the same draws: their differences are paired.
    """
    rng, rows = np.random.default_rng(seed), len(truth)
    parts = list[dict[str, Floats]]()
    for start in range(0, resamples, step := max(1, _AT_A_TIME // rows)):
        size = min(step, resamples - start)
        drawn = rng.integers(rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        weights = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
        parts.append(scores(truth, probabilities, weights.astype(np.float64)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval(samples: Floats) -> Floats:
    """The percentile interval of 95 % over resamples, `[2][...]`, without those that do not define the figure."""
    tail = (1 - LEVEL) / 2
    return np.nanquantile(samples, (tail, 1 - tail), axis=0)


def bins_of(confidence: Floats) -> Ints:
    """The bin of each row for the expected calibration error (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599).

    Bins of equal mass, not of equal width: a fine-tuned model is nearly always nearly sure, so that of bins of equal
    width the last one holds almost all rows and hides what goes on among them, and the others hold too few to say
    anything (Nixon et al. 2019, arXiv:1904.01685). Rows of one confidence share a bin.
    """
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, confidence, side="right")


def ece_if_exact(confidence: Floats, *, draws: int = RESAMPLES, seed: int = 42) -> Floats:
    """What ECE comes out, `[draws]`, if each confidence is exactly the chance of being right (Bröcker & Smith 2007).

    It is never 0: few rows in a bin never hit its mean. An ECE in this range is no sign of bad calibration.
    """
    rng, bins = np.random.default_rng(seed), _one_hot(bins_of(confidence), BINS)
    hits = (rng.random(len(confidence)) < confidence for _ in range(draws))
    return np.array([np.abs((confidence - hit) @ bins).sum() for hit in hits]) / len(confidence)


def risk_coverage(truth: Ints, probabilities: Floats) -> tuple[Floats, Floats, Floats]:
    """For each distinct confidence, surest first: itself, the share of rows at least so sure, and how many of these
    are wrong (El-Yaniv & Wiener 2010)."""
    confidence = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != truth
    right_at, wrong_at = _by_confidence(confidence, wrong, np.ones((1, len(truth))))
    answered = np.cumsum(right_at[0] + wrong_at[0])
    return np.unique(confidence)[::-1], answered / len(truth), np.cumsum(wrong_at[0]) / answered


def _of_counts(true: Floats, said: Floats, hits: Floats) -> dict[str, Floats]:
    """What counts of each label alone tell, `[resamples][labels]`; 0 ÷ 0 is 0 in a mean, as in scikit-learn."""
    total, occurs = true.sum(axis=1), (true + said) > 0
    of = {"precision": _share(hits, said), "recall": _share(hits, true), "f1": _share(2 * hits, true + said)}
    return (
        {"accuracy": hits.sum(axis=1) / total}
        | {name: (one * true).sum(axis=1) / total for name, one in of.items()}
        | {f"macro_{name}": one.sum(axis=1) / occurs.sum(axis=1) for name, one in of.items()}
        | {f"{name}_of": np.where(true > 0 if name == "recall" else occurs, one, np.nan) for name, one in of.items()}
    )


def _by_confidence(confidence: Floats, wrong: NDArray[np.bool_], weights: Floats) -> tuple[Floats, Floats]:
    """Right and wrong answers at each distinct confidence, surest first, `[resamples][distinct]` twice."""
    order = np.argsort(-confidence, kind="stable")
    starts = np.flatnonzero(np.diff(confidence[order], prepend=np.inf))
    weights = weights[:, order]
    all_at = np.add.reduceat(weights, starts, axis=1)
    wrong_at = np.add.reduceat(weights * wrong[order], starts, axis=1)
    return all_at - wrong_at, wrong_at


def _one_hot(places: Ints, size: int) -> Floats:
    return np.eye(size)[places]


def _share(part: Floats, whole: Floats, otherwise: float = 0.0) -> Floats:
    answer: Floats = np.divide(part, whole, out=np.full(part.shape, otherwise), where=whole > 0)
    return answer
