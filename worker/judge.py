"""Probabilities to a decision. Pure but for the budget's memory of recent confidences."""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from triagem.contracts.errors import NotFinite
from triagem.contracts.prediction import Band, Thresholds

REMEMBERED: Final = 1000
_ENOUGH: Final = 50


@dataclass(frozen=True, slots=True)
class Judgement:
    """The most probable label, how sure, all probabilities by label, and what to do with it."""

    label: str
    confidence: float
    probabilities: Mapping[str, float]
    band: Band


class Budget:
    """The least sure share of recent tickets: the confidence under which one is reviewed whatever the threshold.

    Under a shift of the input the figures stay high while the errors rise, so a fixed threshold stops biting;
    the ranking survives. The last 1,000 confidences are remembered; under 50 it says nothing.
    `recent` is what the database remembers of this model version, so that a restart forgets nothing.
    """

    def __init__(self, share: float, recent: Iterable[float] = ()) -> None:
        self.share = share
        self._recent: deque[float] = deque(maxlen=REMEMBERED)
        self._fresh = 0
        self.cutoff = 0.0
        for confidence in recent:
            self.remember(confidence)

    def remember(self, confidence: float) -> None:
        """Take one live ticket's confidence into account."""
        self._recent.append(confidence)
        self._fresh += 1
        if self._fresh >= _ENOUGH:
            self._fresh = 0
            ranked = [*sorted(self._recent), math.inf]
            self.cutoff = ranked[int(self.share * len(self._recent))] if self.share else 0.0


def require_finite(row: Sequence[float], labels: Sequence[str]) -> None:
    """Raises NotFinite unless there is one probability a label, each a number from 0 to 1."""
    if len(row) != len(labels) or not all(math.isfinite(p) and -1e-6 <= p <= 1 + 1e-6 for p in row):
        raise NotFinite(f"the model answered with {len(row)} probabilities, of which some are not between 0 and 1")


def floor(thresholds: Thresholds, budget_cutoff: float) -> float:
    """The least confidence that is automated; infinite where the budget is everything."""
    return max(thresholds.review, budget_cutoff)


def judge(
    row: Sequence[float], labels: Sequence[str], thresholds: Thresholds, *, budget_cutoff: float = 0.0
) -> Judgement:
    """Decide on one text.

    Args:
        row: one probability a label, in the order of `labels`.
        budget_cutoff: `Budget.cutoff`.

    Raises:
        NotFinite: a probability is no number, or outside 0 to 1: `nan < 0.7` is False and would be `automate`.
    """
    require_finite(row, labels)
    best = max(range(len(row)), key=row.__getitem__)
    confidence = row[best]
    sure = confidence >= floor(thresholds, budget_cutoff)
    return Judgement(
        labels[best], confidence, dict(zip(labels, row, strict=True)), Band.AUTOMATE if sure else Band.REVIEW
    )
