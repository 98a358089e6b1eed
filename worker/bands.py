"""Decides label and band from probabilities. No I/O; the review budget keeps recent confidences in memory."""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from triagem.contracts.errors import NotFinite
from triagem.contracts.prediction import Band, BandDecision, Thresholds

BUDGET_SAMPLE: Final = 1000
_RECOMPUTE_EVERY: Final = 50


class ReviewBudget:
    """Sends the least confident share of recent tickets to review, independent of the threshold.

    When the input shifts, confidences stay high while errors rise: a fixed threshold then selects too few tickets,
    but the ranking by confidence stays useful. `cutoff` is computed from the last 1,000 confidences, and is 0 until
    there are 50. `recent` holds this version's confidences from the database, so that a restart loses nothing.
    """

    def __init__(self, share: float, recent: Iterable[float] = ()) -> None:
        self.share = share
        self._recent: deque[float] = deque(maxlen=BUDGET_SAMPLE)
        self._fresh = 0
        self.cutoff = 0.0
        for confidence in recent:
            self.add(confidence)

    def add(self, confidence: float) -> None:
        """Add the confidence of a live ticket."""
        self._recent.append(confidence)
        self._fresh += 1
        if self._fresh >= _RECOMPUTE_EVERY:
            self._fresh = 0
            ranked = [*sorted(self._recent), math.inf]
            self.cutoff = ranked[int(self.share * len(self._recent))] if self.share else 0.0


def require_finite(row: Sequence[float], labels: Sequence[str]) -> None:
    """Raises NotFinite unless there is one probability per label, each between 0 and 1."""
    if len(row) != len(labels) or not all(math.isfinite(p) and -1e-6 <= p <= 1 + 1e-6 for p in row):
        raise NotFinite(
            f"the model returned {len(row)} probabilities for {len(labels)} labels, or some are not between 0 and 1"
        )


def min_automated_confidence(thresholds: Thresholds, budget_cutoff: float) -> float:
    """The lowest confidence that is automated; infinite if nothing is automated or the budget covers all tickets."""
    return max(thresholds.review, budget_cutoff) if thresholds.automate else math.inf


def decide_band(
    row: Sequence[float],
    labels: Sequence[str],
    thresholds: Thresholds,
    *,
    budget_cutoff: float = 0.0,
    abstain: bool = False,
) -> BandDecision:
    """Choose the label and the band of one text.

    Args:
        row: one probability per label, in the order of `labels`.
        budget_cutoff: `ReviewBudget.cutoff`.
        abstain: the text contains nothing that a model could judge, so its label must not be used.

    Raises:
        NotFinite: a probability is not between 0 and 1. This includes NaN: `nan < 0.7` is False, so NaN would mean
            `automate`.
    """
    require_finite(row, labels)
    best = max(range(len(row)), key=row.__getitem__)
    confidence = row[best]
    automate = confidence >= min_automated_confidence(thresholds, budget_cutoff)
    band = Band.ABSTAIN if abstain else Band.AUTOMATE if automate else Band.REVIEW
    return BandDecision(labels[best], confidence, dict(zip(labels, row, strict=True)), band)
