"""How often a model version is right, from what people said of a few of its texts. Pure.

Reviews are no fair sample: people are asked about the least sure first, and their plain mean is far below the truth.
So every text has a lot (`db.draws`), and a part of the questions goes to the lowest lots of all texts, sure or not.
At the estimate the texts fall into three strata that need no luck to be told apart:

- `asked`: unsure, and people were asked about every text at least as unsure. Their mean is known, but for the few
  that somebody skipped or could not tell.
- `unsure`: the other unsure ones, `sure`: those in the band `automate`. Of these only texts drawn by lot count.

A text drawn by lot was asked because its lot lay under the reach of some drawing since it came. So its probability is
the highest of these reaches, and it counts with one over that (Hájek 1971): texts that came late, when few were
drawn, count for more. A reach is a lot that was not drawn itself, so that whatever lies under it fell there as by a
throw of its own (Duffield, Lund & Thorup 2007, *Priority sampling*). Strata are weighted by their number of texts.

The interval: Wilson's in each stratum (1927; sound for few rows and for means near 1), with Kish's effective number
(1965) and the finite population correction, put together by the squares of their arms (MOVER: Zou & Donner 2008; for
strata, Yan & Su 2010).
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
class Reach:
    """Up to which lot a drawing went, among texts received from `since` on that were classified by then."""

    drawn_at: datetime
    since: datetime
    inclusion: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A text with a verdict: was the model right? None: the person could not say.

    `inclusion` is the reach of the drawing that drew it; None: it was not drawn by lot.
    """

    right: bool | None
    received_at: datetime
    classified_at: datetime
    inclusion: float | None


@dataclass(frozen=True, slots=True)
class Stratum:
    """Texts that count together. `reviews` are the verdicts that count, `unclear` not among them."""

    name: str
    texts: int
    reviews: int
    unclear: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A version's accuracy on all its texts, with a 95 % interval. `uncounted` verdicts were neither drawn by lot nor
    among texts that have all been asked: they tell nothing of the others."""

    value: float
    low: float
    high: float
    texts: int
    reviews: int
    unclear: int
    uncounted: int
    strata: tuple[Stratum, ...]


def probability(answer: Answer, reaches: Iterable[Reach]) -> float:
    """How likely it was that a text drawn by lot would be, by now."""
    assert answer.inclusion is not None
    since_it_came = (
        reach.inclusion
        for reach in reaches
        if reach.drawn_at >= answer.classified_at and reach.since <= answer.received_at
    )
    return max(since_it_came, default=0.0) or answer.inclusion


def estimate(
    texts: Mapping[str, int], answers: Mapping[str, Sequence[Answer]], reaches: Sequence[Reach]
) -> Estimate | None:
    """The accuracy over all `texts` (their number by stratum), or None where nobody was asked by lot.

    A stratum of which nothing is known counts as half right, between 0 and 1.
    """
    strata = [_stratum(name, count, answers.get(name, ()), reaches) for name, count in texts.items() if count]
    everything, reviews = sum(texts.values()), sum(stratum.reviews for stratum in strata)
    if not reviews:
        return None
    shares = [(stratum.texts / everything, stratum) for stratum in strata]
    value = sum(share * stratum.accuracy for share, stratum in shares)
    below = sqrt(sum((share * (stratum.accuracy - stratum.low)) ** 2 for share, stratum in shares))
    above = sqrt(sum((share * (stratum.high - stratum.accuracy)) ** 2 for share, stratum in shares))
    unclear = sum(stratum.unclear for stratum in strata)
    return Estimate(
        value=value,
        low=max(0.0, value - below),
        high=min(1.0, value + above),
        texts=everything,
        reviews=reviews,
        unclear=unclear,
        uncounted=sum(map(len, answers.values())) - reviews - unclear,
        strata=tuple(strata),
    )


def wilson(share: float, rows: float) -> tuple[float, float]:
    """The 95 % interval of a share that was seen in so many rows; they need not be a whole number, nor finite."""
    if not rows:
        return 0.0, 1.0
    square = 0.0 if rows == inf else _Z**2 / rows
    middle = (share + square / 2) / (1 + square)
    arm = sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return max(0.0, min(share, middle - arm)), min(1.0, max(share, middle + arm))


def _stratum(name: str, texts: int, answers: Sequence[Answer], reaches: Sequence[Reach]) -> Stratum:
    counting = answers if name == ASKED else [answer for answer in answers if answer.inclusion is not None]
    clear = [answer for answer in counting if answer.right is not None]
    weights = [1.0 if name == ASKED else 1 / probability(answer, reaches) for answer in clear]
    if clear:
        right = sum(weight for weight, answer in zip(weights, clear, strict=True) if answer.right)
        share = right / sum(weights)
        rows = sum(weights) ** 2 / sum(weight**2 for weight in weights)
        rows = rows / (1 - len(counting) / texts) if len(counting) < texts else inf
    else:
        share, rows = 0.5, 0.0
    return Stratum(name, texts, len(clear), len(counting) - len(clear), share, *wilson(share, rows))
