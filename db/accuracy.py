"""Estimates a model version's accuracy on all its texts from reviews of a sample. Pure functions.

Reviews are a biased sample: the least confident texts are reviewed first, so their plain mean is far below the
accuracy. Therefore every text has a random rank (`triagem.db.review_sampling`), and a share of the reviews goes to
the lowest ranks of all texts, sure or not. For the estimate, texts fall into three strata, independent of ranks:

- `asked`: unsure, and people were asked about every text at least as unsure. Their mean is known, except for the few
  texts that were skipped or unclear.
- `unsure`: the other unsure texts; `sure`: texts in the band `automate`. In these, only randomly sampled texts count.

A randomly sampled text was selected because its rank is below the threshold of a sampling round since its arrival.
Its inclusion probability is the highest of these thresholds, and its weight is the inverse (Hájek 1971): texts that
arrived late, when few were sampled, weigh more. A threshold is the rank of a text that was not sampled, so each text
below it was included as if independently (Duffield, Lund & Thorup 2007, *Priority sampling*). Strata are weighted by
their number of texts.

The interval: Wilson's in each stratum (1927; sound for few rows and for means near 1), with Kish's effective sample
size (1965) and the finite population correction, combined by the squares of the half-widths (MOVER: Zou & Donner
2008; for strata, Yan & Su 2010).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf, sqrt
from statistics import NormalDist
from typing import Final

ASKED: Final = "asked"
_Z: Final = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class SamplingRound:
    """A round of random sampling: its rank threshold among texts received from `since` on and classified by then."""

    drawn_at: datetime
    since: datetime
    threshold: float


@dataclass(frozen=True, slots=True)
class ReviewedText:
    """A reviewed text: whether the model was right, None if the review is "unclear".

    `inclusion` is the threshold of the round that sampled it; None if it was not randomly sampled.
    """

    right: bool | None
    received_at: datetime
    classified_at: datetime
    inclusion: float | None


@dataclass(frozen=True, slots=True)
class StratumAccuracy:
    """Estimate for one stratum. `reviews`: the reviews that count, without `unclear` ones."""

    name: str
    texts: int
    reviews: int
    unclear: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AccuracyEstimate:
    """A version's accuracy on all its texts with a 95% interval.

    `uncounted` reviews are neither randomly sampled nor in the stratum `asked`: they say nothing about other texts.
    """

    value: float
    low: float
    high: float
    texts: int
    reviews: int
    unclear: int
    uncounted: int
    strata: tuple[StratumAccuracy, ...]


def inclusion_probability(reviewed: ReviewedText, rounds: Iterable[SamplingRound]) -> float:
    """The probability that a randomly sampled text is sampled by now."""
    assert reviewed.inclusion is not None
    thresholds = (
        sampling.threshold
        for sampling in rounds
        if sampling.drawn_at >= reviewed.classified_at and sampling.since <= reviewed.received_at
    )
    return max(thresholds, default=0.0) or reviewed.inclusion


def estimate_accuracy(
    texts: Mapping[str, int], reviewed: Mapping[str, Sequence[ReviewedText]], rounds: Sequence[SamplingRound]
) -> AccuracyEstimate | None:
    """The accuracy over all `texts` (their number by stratum); None without a review that counts.

    A stratum without one counts as 50% right, with an interval from 0 to 1.
    """
    strata = [_stratum(name, count, reviewed.get(name, ()), rounds) for name, count in texts.items() if count]
    total, reviews = sum(texts.values()), sum(stratum.reviews for stratum in strata)
    if not reviews:
        return None
    shares = [(stratum.texts / total, stratum) for stratum in strata]
    value = sum(share * stratum.accuracy for share, stratum in shares)
    below = sqrt(sum((share * (stratum.accuracy - stratum.low)) ** 2 for share, stratum in shares))
    above = sqrt(sum((share * (stratum.high - stratum.accuracy)) ** 2 for share, stratum in shares))
    unclear = sum(stratum.unclear for stratum in strata)
    return AccuracyEstimate(
        value=value,
        low=max(0.0, value - below),
        high=min(1.0, value + above),
        texts=total,
        reviews=reviews,
        unclear=unclear,
        uncounted=sum(map(len, reviewed.values())) - reviews - unclear,
        strata=tuple(strata),
    )


def wilson_interval(share: float, rows: float) -> tuple[float, float]:
    """The 95% interval of a share observed in `rows` rows, which may be fractional or infinite."""
    if not rows:
        return 0.0, 1.0
    square = 0.0 if rows == inf else _Z**2 / rows
    center = (share + square / 2) / (1 + square)
    half_width = sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return max(0.0, min(share, center - half_width)), min(1.0, max(share, center + half_width))


def _stratum(
    name: str, texts: int, reviewed: Sequence[ReviewedText], rounds: Sequence[SamplingRound]
) -> StratumAccuracy:
    counted = reviewed if name == ASKED else [text for text in reviewed if text.inclusion is not None]
    clear = [text for text in counted if text.right is not None]
    weights = [1.0 if name == ASKED else 1 / inclusion_probability(text, rounds) for text in clear]
    if clear:
        right = sum(weight for weight, text in zip(weights, clear, strict=True) if text.right)
        share = right / sum(weights)
        rows = sum(weights) ** 2 / sum(weight**2 for weight in weights)
        rows = rows / (1 - len(counted) / texts) if len(counted) < texts else inf
    else:
        share, rows = 0.5, 0.0
    return StratumAccuracy(name, texts, len(clear), len(counted) - len(clear), share, *wilson_interval(share, rows))
