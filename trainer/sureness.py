"""How sure right and wrong answers were, as a report shows it: bins, bars, a curve. Pure."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy.stats import binomtest

from triagem.trainer import measures
from triagem.trainer.measures import Floats, Ints
from triagem.trainer.report import Bar, Bin, Figure, Risk

_CURVE_POINTS: Final = 200  # of the risk-coverage curve; more would not show
_BARS: Final = 20


def reliability(truth: Ints, said: Floats) -> Iterator[Bin]:
    """Confidence against accuracy, a bin of `measures.bins_of` at a time."""
    confidence, right = said.max(axis=1), said.argmax(axis=1) == truth
    places = measures.bins_of(confidence)
    for place in np.unique(places):
        some = places == place
        sure = binomtest(int(right[some].sum()), int(some.sum())).proportion_ci(method="wilson")
        accuracy = Figure(value=float(right[some].mean()), low=float(sure.low), high=float(sure.high))
        yield Bin(rows=int(some.sum()), confidence=float(confidence[some].mean()), accuracy=accuracy)


def confidences(truth: Ints, said: Floats) -> Iterator[Bar]:
    """How many right and wrong answers were how sure, in steps of 0.05."""
    confidence, right = said.max(axis=1), said.argmax(axis=1) == truth
    edges = np.linspace(0, 1, _BARS + 1)
    counts = [np.histogram(confidence[which], edges)[0] for which in (right, ~right)]
    for low, high, good, bad in zip(edges, edges[1:], *counts, strict=False):
        if good or bad or high > 1 / said.shape[1]:  # the surest of L labels has at least 1/L
            yield Bar(low=round(float(low), 3), high=round(float(high), 3), right=int(good), wrong=int(bad))


def risks(truth: Ints, said: Floats) -> Iterator[Risk]:
    """`measures.risk_coverage`, thinned to as many points as would show."""
    curve = np.stack(measures.risk_coverage(truth, said), axis=1)
    places = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), _CURVE_POINTS)).round().astype(int))
    for confidence, coverage, risk in curve[places].tolist():
        yield Risk(confidence=confidence, coverage=coverage, risk=risk)
