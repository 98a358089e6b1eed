"""Relates confidence to accuracy for a report: reliability bins, a histogram, a risk-coverage curve. Pure."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy.stats import binomtest

from triagem.trainer import metrics
from triagem.trainer.metrics import Floats, Ints
from triagem.trainer.report import HistogramBar, MetricEstimate, ReliabilityBin, RiskCoveragePoint

_CURVE_POINTS: Final = 200  # of the risk-coverage curve; more are not visible
_BARS: Final = 20


def reliability_bins(truth: Ints, probabilities: Floats) -> Iterator[ReliabilityBin]:
    """Accuracy against confidence in each bin of `metrics.bins_of`."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = metrics.bins_of(confidence)
    for number in np.unique(bins):
        members = bins == number
        interval = binomtest(int(correct[members].sum()), int(members.sum())).proportion_ci(method="wilson")
        accuracy = MetricEstimate(
            value=float(correct[members].mean()), low=float(interval.low), high=float(interval.high)
        )
        yield ReliabilityBin(rows=int(members.sum()), confidence=float(confidence[members].mean()), accuracy=accuracy)


def confidence_histogram(truth: Ints, probabilities: Floats) -> Iterator[HistogramBar]:
    """Counts of right and wrong predictions by confidence, in steps of 0.05."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    edges = np.linspace(0, 1, _BARS + 1)
    counts = [np.histogram(confidence[mask], edges)[0] for mask in (correct, ~correct)]
    for low, high, right, wrong in zip(edges, edges[1:], *counts, strict=False):
        if right or wrong or high > 1 / probabilities.shape[1]:  # the highest of L probabilities is at least 1/L
            yield HistogramBar(
                low=round(float(low), 3), high=round(float(high), 3), right=int(right), wrong=int(wrong)
            )


def risk_coverage_points(truth: Ints, probabilities: Floats) -> Iterator[RiskCoveragePoint]:
    """`metrics.risk_coverage`, thinned to as many points as are visible."""
    curve = np.stack(metrics.risk_coverage(truth, probabilities), axis=1)
    indices = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), _CURVE_POINTS)).round().astype(int))
    for confidence, coverage, risk in curve[indices].tolist():
        yield RiskCoveragePoint(confidence=confidence, coverage=coverage, risk=risk)
