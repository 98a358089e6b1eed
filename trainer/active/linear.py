"""Fits the linear head: logistic regression on centred embeddings, with label descriptions as a prior. Pure.

Few answers in 384 dimensions are separable, so assumptions choose among the heads that explain them: a penalty, the
label descriptions, and stretched axes. They fade as answers are added (`fading`); the penalty fades more slowly,
because some answers are wrong. Each label has the same total weight, because the label distribution of the first
answers rarely matches that of the messages.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Final, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from threadpoolctl import threadpool_limits

from triagem.trainer.evaluate.metrics import Floats, LabelIndices

FULL_ANSWERS: Final = 20  # up to this number, the assumptions count in full
_LEAST: Final = 0.2  # more than 100 answers were not simulated
_STRETCH: Final = 0.25
_PRIOR_NORM: Final = 1.0

_P = ParamSpec("_P")
_R = TypeVar("_R")


def one_blas_thread(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a function's matrix products on one thread.

    On small matrices, threads only wait for each other: on two busy cores, an estimate took 9.0 s, and 0.6 s on one
    thread.
    """

    @wraps(function)
    def limited(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with threadpool_limits(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited


def fading(answers: int) -> float:
    """The factor of all assumptions after a number of answers: 1 at first, then inversely proportional to it."""
    return min(1.0, max(_LEAST, FULL_ANSWERS / max(answers, 1)))


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """Centre and axes of a company's messages: encoders place all texts close together, far from the origin.

    Stretched axes are a root of the covariance, the fourth at first: the head prefers the directions in which the
    messages differ most, because these separate topics.
    """

    mean: Floats
    axes: Floats

    @classmethod
    def of(cls, embeddings: Floats, *, stretch: float = 0.0) -> "EmbeddingSpace":
        """The space in which these embeddings have the mean 0 and a mean squared length of 1.

        Args:
            stretch: the factor of the root's exponent, 0 to 1.
        """
        mean = embeddings.mean(axis=0)
        centred = embeddings - mean
        variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
        variances = np.maximum(variances, 0)  # rounding makes some negative
        power = _STRETCH * stretch
        length = max(1e-9, float(np.sqrt((variances ** (1 + 2 * power)).sum())))
        return cls(mean, (directions * (variances**power / length)) @ directions.T)

    def __call__(self, embeddings: NDArray[np.floating]) -> Floats:
        """The embeddings in this space."""
        points: Floats = (embeddings - self.mean) @ self.axes
        return points


@dataclass(frozen=True, slots=True)
class LinearHead:
    """`weights[labels][width]` and `bias[labels]`."""

    weights: Floats
    bias: Floats

    def logits(self, embeddings: Floats) -> Floats:
        """`[texts][labels]`."""
        return embeddings @ self.weights.T + self.bias

    def outside(self, space: EmbeddingSpace) -> "LinearHead":
        """The equivalent head for raw embeddings, outside the space."""
        weights = self.weights @ space.axes
        return LinearHead(weights, self.bias - weights @ space.mean)


def fit_head(embeddings: Floats, truth: LabelIndices, labels: int, *, prior: Floats | None = None) -> LinearHead:
    """Fit the maximum a posteriori head. A label without answers gets its weights from the prior alone.

    Args:
        embeddings: of the answered texts, in their `EmbeddingSpace`.
        truth: `[texts]`, each text's label number.
        prior: `description_prior`, the weights' mean before any answer.
    """
    texts, width = embeddings.shape
    count = np.bincount(truth, minlength=labels)
    weight = texts / np.sqrt(fading(texts)) / (count > 0).sum() / count[truth]
    expected = np.zeros((labels, width)) if prior is None else fading(texts) * prior
    one_hot = np.eye(labels)[truth]

    def cost(parameters: Floats) -> tuple[float, Floats]:
        weights, bias = parameters[: labels * width].reshape(labels, width), parameters[labels * width :]
        log_probabilities = log_softmax(embeddings @ weights.T + bias, axis=1)
        error = (np.exp(log_probabilities) - one_hot) * weight[:, None]
        distance = weights - expected
        penalty = ((distance**2).sum() + (bias**2).sum() * 1e-3) / 2  # the bias term only makes the minimum unique
        gradient = np.concatenate([(error.T @ embeddings + distance).ravel(), error.sum(axis=0) + 1e-3 * bias])
        return float(-(weight * log_probabilities[np.arange(texts), truth]).sum() + penalty), gradient

    start = np.concatenate([expected.ravel(), np.zeros(labels)])
    best = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return LinearHead(best[: labels * width].reshape(labels, width), best[labels * width :])


def description_prior(descriptions: Floats) -> Floats:
    """Weights from the embeddings of the labels' descriptions: each label's difference from their mean.

    The mean is subtracted, because descriptions are written in a different style than messages.
    """
    difference = descriptions - descriptions.mean(axis=0)
    lengths = np.linalg.norm(difference, axis=1, keepdims=True)
    prior: Floats = _PRIOR_NORM * difference / np.maximum(lengths, 1e-9)
    return prior
