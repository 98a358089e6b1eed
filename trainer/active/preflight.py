"""Estimates the effect of automation from an export, before anything is stored or served.

Each labelled text is predicted by a model that was fitted to the other texts: a linear head on frozen embeddings, or
the TF-IDF baseline if no base is installed. Texts without labels are rated by the current version's confidences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import binomtest

from triagem.trainer.active.linear import EmbeddingSpace, fit_head, one_blas_thread
from triagem.trainer.active.pool import fold_numbers
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.baseline import LabelError, baseline_fit
from triagem.trainer.evaluate.calibration import apply_temperature, calibrate, review_threshold
from triagem.trainer.evaluate.metrics import Fit, Floats, LabelIndices, out_of_fold
from triagem.trainer.monitor.reference import Population

TARGETS: Final = (0.9, 0.95, 0.97, 0.98, 0.99)
MORE_LABELS: Final = 200
# Half the error probability of a version's threshold: people compare a promise with the next tickets, which vary too.
_MAX_ERROR: Final = 0.025
_HALVES: Final = 3
_MISTAKES: Final = 5
_SEED: Final = 42
# share of reference texts near enough to their nearest neighbour; farther texts count as unlike
_USUAL_SHARE: Final = 0.99


@dataclass(frozen=True, slots=True)
class SliceAccuracy:
    """The accuracy on a part of the texts, with Wilson's 95 % interval."""

    name: str
    texts: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Promise:
    """The share of texts to automate, from the confidence `threshold`, with a precision proved with 97.5 % certainty.

    `share` is None if the precision is not proved. `right` of the `texts` most confident texts are right: of those to
    automate, or of the fewest that were tested. `texts_missing`: about how many more texts would prove the precision;
    None if no number of texts would.
    """

    precision: float
    share: float | None
    threshold: float
    texts: int
    right: int
    texts_missing: int | None


@dataclass(frozen=True, slots=True)
class Preflight:
    """All figures.

    `slices` are by label and group; `more_labels`: the expected accuracy with `MORE_LABELS` more labels.

    `mistakes`: most confident first. A confident mistake costs most, because nobody would review it, unless the given
    label is wrong.
    """

    accuracy: SliceAccuracy
    slices: tuple[SliceAccuracy, ...]
    promises: tuple[Promise, ...]
    mistakes: tuple[LabelError, ...]
    more_labels: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """The figures of texts without labels. `unlike`: the share of texts unlike the version's own held-out texts."""

    texts: int
    accuracy: float
    automated: float
    unlike: float | None


def head_fit(embeddings: NDArray[np.floating], truth: LabelIndices) -> Fit:
    """A linear head on frozen embeddings, as in a head version."""
    points, labels = EmbeddingSpace.of(np.asarray(embeddings, dtype=np.float64))(embeddings), int(truth.max()) + 1
    return one_blas_thread(
        lambda train, test: softmax(fit_head(points[train], truth[train], labels).logits(points[test]), axis=1)
    )


def cross_fit(fit: Fit, truth: LabelIndices, seed: int) -> tuple[Floats, float]:
    """The temperature, and calibrated probabilities `[rows][labels]` by models fitted to the other folds."""
    raw = out_of_fold(fit, fold_numbers(truth, seed))
    temperature = calibrate(raw, truth, "out-of-fold").temperature
    return apply_temperature(raw, temperature), temperature


def promises(probabilities: Floats, truth: LabelIndices) -> tuple[Promise, ...]:
    """The share of texts that can be automated at each of `TARGETS`."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    results = []
    for target in TARGETS:
        proof = review_threshold(confidence, right, target, _MAX_ERROR)
        share = proof.texts / len(truth) if proof.proven_precision else None
        results.append(Promise(target, share, proof.review, proof.texts, proof.right, proof.texts_missing))
    return tuple(results)


def preflight(rows: Sequence[Row], labels: Sequence[str], embeddings: NDArray[np.floating] | None) -> Preflight:
    """Compute the figures of labelled rows, one row per different text. Without embeddings, the baseline predicts."""
    truth = np.array([labels.index(row.label) for row in rows], dtype=np.intp)
    fit = baseline_fit(rows, labels) if embeddings is None else head_fit(embeddings, truth)
    probabilities, _ = cross_fit(fit, truth, _SEED)
    guess, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = guess == truth
    wrong = np.flatnonzero(~right)
    members = {"label": [row.label for row in rows], "group": [row.group for row in rows]}
    return Preflight(
        accuracy=_accuracy("all", right),
        slices=tuple(
            _accuracy(f"{title} {part}", right[np.array(names) == part])
            for title, names in members.items()
            for part in sorted({*names} - {""})
        ),
        promises=promises(probabilities, truth),
        mistakes=tuple(
            LabelError(rows[row].where, rows[row].label, labels[guess[row]], float(confidence[row]), rows[row].text)
            for row in wrong[np.argsort(-confidence[wrong], kind="stable")][:_MISTAKES]
        ),
        more_labels=1 - _error_with_more(fit, truth, 1 - float(right.mean())),
    )


def expect(recent: Population, reference: Population | None, threshold: float) -> Expectation:
    """Compute the figures of texts without labels, from a version's features of them and of its reference texts."""
    unlike = None
    if reference is not None and len(reference) > 1:
        usual = np.quantile(_nearest(reference, reference), _USUAL_SHARE)
        unlike = float((_nearest(recent, reference) > usual).mean())
    confidences = recent.confidences
    return Expectation(len(recent), float(confidences.mean()), float((confidences >= threshold).mean()), unlike)


def _nearest(texts: Population, others: Population) -> Floats:
    """The cosine distance of each text to its nearest neighbour."""
    left, right = (
        part.embeddings / np.linalg.norm(part.embeddings, axis=1, keepdims=True) for part in (texts, others)
    )
    cosines = left @ right.T
    if texts is others:
        np.fill_diagonal(cosines, -1)
    nearest: Floats = 1 - cosines.max(axis=1)
    return nearest


def _accuracy(name: str, right: NDArray[np.bool_]) -> SliceAccuracy:
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return SliceAccuracy(name, len(right), float(right.mean()), float(interval.low), float(interval.high))


def _error_with_more(fit: Fit, truth: LabelIndices, error: float) -> float:
    """Extrapolate the error to `MORE_LABELS` more rows by a power law, estimated from fits to half of the rows."""
    rng, errors = np.random.default_rng(_SEED), []
    for _ in range(_HALVES):
        half, others = np.array_split(rng.permutation(len(truth)), 2)
        if len(np.unique(truth[half])) == truth.max() + 1:
            errors.append(float((fit(half, others).argmax(axis=1) != truth[others]).mean()))
    if not errors or not error:
        return error
    ratio = max(1.0, float(np.mean(errors)) / error)
    # The cross-fitted models (nine tenths of the rows) have 1.8 times as many rows as the models fitted to halves.
    power = min(1.0, log(ratio) / log(1.8))
    return float(error * (len(truth) / (len(truth) + MORE_LABELS)) ** power)
