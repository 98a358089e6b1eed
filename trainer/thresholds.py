"""How sure the model must be to be acted upon: from a wanted precision, proved on rows that trained nothing. Pure.

Not here: making the confidences mean what they say (`triagem.trainer.calibrate`).
"""

from math import ceil, log
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from triagem.contracts.prediction import Thresholds
from triagem.trainer.report import Threshold

RISK: Final = 0.05  # of a threshold that promises too much
_MOST_ROWS: Final = 1_000_000

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]


def review_threshold(confidence: Floats, correct: Marks, wanted: float) -> Threshold:
    """The lowest confidence such that rows at or above it are right with the wanted precision, of 95 % certainty.

    The certainty is one-sided, by Clopper and Pearson's bound (1934). Thresholds are tried from the strictest down,
    and the first that fails ends it: tested in a fixed order, each may have the whole risk of 5 % (Angelopoulos et
    al. 2021, "Learn then test", arXiv:2110.01052). The order is fixed by confidences and never by who was right.
    The strictest keeps a quarter of the rows: at the few that could just prove it, one chance error would end it.

    Args:
        confidence: `[rows]`, of the answered label.
        correct: `[rows]`, whether it was the true one.
        wanted: the precision, over 0 and under 1.
    """
    order = np.argsort(-confidence, kind="stable")
    sure, right = confidence[order], correct[order].cumsum()
    rows = len(sure)
    start = max(fewest_rows(wanted), ceil(rows / 4))
    last_of_ties = np.append(sure[1:] != sure[:-1], True) if rows else np.zeros(0, bool)
    looks = np.flatnonzero(last_of_ties & (np.arange(rows) + 1 >= start))
    passed = lower_bound(right[looks], looks + 1) >= wanted
    proved = looks[: len(looks) if passed.all() else int(passed.argmin())]
    if len(proved):
        place = int(proved[-1])
        bound = float(lower_bound(right[place], np.int_(place + 1)))
        return Threshold(float(sure[place]), wanted, place + 1, int(right[place]), bound)
    tried = int(looks[0]) + 1 if len(looks) else rows
    hits = int(right[tried - 1]) if tried else 0
    needed = rows_needed(hits / tried if tried else 1.0, wanted)
    missing = None if needed is None else ceil(needed * rows / tried) - rows if tried else needed
    return Threshold(Thresholds().review, wanted, tried, hits, None, missing)


def review_budget(wrong: float) -> float:
    """Twice the share of rows that the model gets wrong, 5 to 50 %: the least sure are reviewed whatever they say.

    Twice, because the ranking is far from perfect: on messages of unseen domains the least sure 25 % held 54 %
    of the errors, of which there were 23 %.
    """
    return min(0.5, max(0.05, round(2 * wrong, 3)))


def fewest_rows(wanted: float) -> int:
    """How many rows, all of them right, prove the precision: the least n with wanted ** n <= 5 %."""
    return ceil(log(RISK) / log(wanted))


def rows_needed(precision: float, wanted: float) -> int | None:
    """How many rows would prove the wanted precision if that share of them is right; None if none would."""
    if precision <= wanted:
        return None
    low, high = 0, fewest_rows(wanted)
    while not _proves(precision, high, wanted):
        low, high = high, 2 * high
        if high > _MOST_ROWS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _proves(precision, middle, wanted) else (middle, high)
    return high


def lower_bound(right: NDArray[np.int_] | np.int_, rows: NDArray[np.int_] | np.int_) -> Floats:
    """The precision that these rows prove: Clopper and Pearson's one-sided lower bound."""
    return np.where(right == 0, 0.0, beta.ppf(RISK, np.maximum(right, 1), rows - right + 1))


def _proves(precision: float, rows: int, wanted: float) -> bool:
    return bool(lower_bound(np.int_(int(precision * rows + 1e-9)), np.int_(rows)) >= wanted)
