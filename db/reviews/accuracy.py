"""Estimates a model version's accuracy on all its texts from reviews of a sample.

`model_accuracy` reads the reviews; `estimate_accuracy` and what it calls are pure functions.

Reviews are a biased sample: the least confident texts are reviewed first, so their plain mean is far below the
accuracy. Therefore every text has a random rank (`triagem.db.reviews.sampling`), and a share of the reviews goes to
the lowest ranks of all texts, sure or not. For the estimate, texts fall into three strata, independent of ranks:

- `asked`: unsure texts that people were asked about, and so were all texts with a lower confidence. Their mean is
  known, except for the few texts that were skipped or unclear.
- `unsure`: the other unsure texts; `sure`: texts in the band `automate`. In these, only randomly sampled texts count.

A randomly sampled text was selected because its rank is below the threshold of a sampling round since its arrival.
Its inclusion probability is the highest of these thresholds, and its weight is the inverse (Hájek 1971): texts that
arrived late, when few were sampled, weigh more. A threshold is the rank of a text that was not sampled, so each text
below it was included as if independently (Duffield, Lund & Thorup 2007, *Priority sampling*). Strata are weighted by
their number of texts.

Texts that the version was trained on are left out, with their reviews: it is right about them more often than about
new texts.

The interval: Wilson's in each stratum (1927; sound for few rows and for means near 1), with Kish's effective sample
size (1965) and the finite population correction, combined by the squares of the half-widths (MOVER: Zou & Donner
2008; for strata, Yan & Su 2010).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from math import ceil, inf, sqrt
from statistics import NormalDist
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Row

from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.connect import Database

ASKED: Final = "asked"
_TRAINED: Final = "trained"
KNOWN: Final = 0.2  # an interval of at most this width, such as 0.8 to 1.0, is shown as a percentage
FEWEST_REVIEWS: Final = 16  # without an error, Wilson's interval is `KNOWN` wide or narrower
_FEW: Final = 10  # from fewer reviews, the number of missing ones is a lower limit
_Z: Final = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class SamplingRound:
    """A round of random sampling, with its rank threshold: of texts received from `since` on and classified by
    then."""

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

    `sampled`: the reviews that count, of randomly sampled texts. `uncounted`: reviews of texts that are neither
    randomly sampled nor in the stratum `asked`, and verdicts that no review asked for (`triagem.db.reviews.records`).
    They say nothing about other texts. `mean_confidence`: the version's, in the same texts. `trained`: the reviews
    of texts that the version was trained on, which are left out; None if these texts are not known.
    """

    value: float
    low: float
    high: float
    texts: int
    reviews: int
    sampled: int
    unclear: int
    uncounted: int
    strata: tuple[StratumAccuracy, ...]
    mean_confidence: float | None = None
    trained: int | None = 0

    @property
    def reviews_missing(self) -> int:
        """The estimated number of further reviews until the interval is as narrow as `KNOWN`; 0 if it already is."""
        width = self.high - self.low
        return 0 if width <= KNOWN else max(10, ceil(self.reviews * ((width / KNOWN) ** 2 - 1) / 10) * 10)

    @property
    def reviews_needed(self) -> str:
        """`reviews_missing` in words."""
        return f"{'about' if self.reviews >= _FEW else 'at least'} {self.reviews_missing:,} more reviews"


def inclusion_probability(reviewed: ReviewedText, rounds: Iterable[SamplingRound]) -> float:
    """The probability with which the rounds until now select a text that was randomly sampled."""
    assert reviewed.inclusion is not None
    thresholds = (
        sampling.threshold
        for sampling in rounds
        if sampling.drawn_at >= reviewed.classified_at and sampling.since <= reviewed.received_at
    )
    return max(thresholds, default=0.0) or reviewed.inclusion


def estimate_accuracy(
    texts: Mapping[str, int],
    reviewed: Mapping[str, Sequence[ReviewedText]],
    rounds: Sequence[SamplingRound],
    *,
    unasked: int = 0,
    mean_confidence: float | None = None,
    trained: int | None = 0,
) -> AccuracyEstimate | None:
    """The accuracy over all `texts` (their number by stratum); None without a review that counts.

    A stratum without such a review counts as 50% right, with an interval from 0 to 1. `unasked`: the number of texts
    with only a correction.
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
    clear = (review for review in chain.from_iterable(reviewed.values()) if review.right is not None)
    return AccuracyEstimate(
        value=value,
        low=max(0.0, value - below),
        high=min(1.0, value + above),
        texts=total,
        reviews=reviews,
        sampled=sum(review.inclusion is not None for review in clear),
        unclear=unclear,
        uncounted=sum(map(len, reviewed.values())) - reviews - unclear + unasked,
        strata=tuple(strata),
        mean_confidence=mean_confidence,
        trained=trained,
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
    counted = reviewed if name == ASKED else [review for review in reviewed if review.inclusion is not None]
    clear = [review for review in counted if review.right is not None]
    weights = [1.0 if name == ASKED else 1 / inclusion_probability(review, rounds) for review in clear]
    if clear:
        right = sum(weight for weight, review in zip(weights, clear, strict=True) if review.right)
        share = right / sum(weights)
        rows = sum(weights) ** 2 / sum(weight**2 for weight in weights)
        rows = rows / (1 - len(counted) / texts) if len(counted) < texts else inf
    else:
        share, rows = 0.5, 0.0
    return StratumAccuracy(name, texts, len(clear), len(counted) - len(clear), share, *wilson_interval(share, rows))


_ROUNDS: Final = """
SELECT drawn_at, since, max(inclusion) FROM review_draws d
WHERE stratum = 'random' AND model_version = :version
  AND EXISTS (
    SELECT FROM reviews r WHERE (r.ticket_id, r.digest) = (d.ticket_id, d.digest)
    AND coalesce(r.stratum, '') NOT IN ('crm', 'import')
  )
GROUP BY drawn_at, since
"""
# Uses the version's predictions, not the current results, so that a previous version can still be measured. LATERAL,
# because the planner takes id and digest for independent conditions, therefore expects one row, and would use a
# nested loop over all rows. IN, not a join, for the same reason: it is a hash table.
_REVIEWED_TEXTS: Final = """
WITH texts AS (
  SELECT p.ticket_id, p.digest, p.band, p.confidence, t.received_at, p.classified_at,
    v.reviewed, v.label = p.label AS was_right, p.digest IN (
      SELECT decode(digest, 'hex') FROM json_array_elements_text(CAST(:trained AS json)) AS seen(digest)
    ) AS trained
  FROM predictions p JOIN tickets t ON (t.id, t.digest) = (p.ticket_id, p.digest)
  LEFT JOIN LATERAL (
    SELECT true AS reviewed, r.label FROM reviews r WHERE (r.ticket_id, r.digest) = (p.ticket_id, p.digest)
    AND coalesce(r.stratum, '') NOT IN ('crm', 'import')
    ORDER BY r.id DESC LIMIT 1
  ) AS v ON true
  WHERE p.model_version = :version AND t.forgotten_at IS NULL AND t.source <> :predict
    AND t.received_at >= :since AND p.classified_at <= :until AND (NOT :decided OR p.band <> 'abstain')
), least_confident_unasked AS (
  SELECT coalesce(min(confidence), 'Infinity') AS confidence FROM texts
  WHERE band <> 'automate' AND NOT trained AND reviewed IS NULL AND NOT EXISTS (
    SELECT FROM review_draws d WHERE d.leased_until IS NOT NULL
    AND (d.ticket_id, d.digest, d.model_version) = (texts.ticket_id, texts.digest, :version)
  )
), strata AS MATERIALIZED (
  SELECT *, CASE WHEN trained THEN 'trained' WHEN band = 'automate' THEN 'sure'
    WHEN confidence < (SELECT u.confidence FROM least_confident_unasked u) THEN 'asked' ELSE 'unsure' END AS stratum
  FROM texts
), reviewed_texts AS (
  SELECT s.stratum, array_agg(s.was_right) AS was_right, array_agg(s.received_at) AS received,
    array_agg(s.classified_at) AS classified, array_agg(d.inclusion) AS inclusions
  FROM strata s LEFT JOIN review_draws d
    ON (d.ticket_id, d.digest, d.model_version) = (s.ticket_id, s.digest, :version)
  WHERE s.reviewed GROUP BY s.stratum
)
SELECT * FROM (
  SELECT stratum, count(*) AS texts, sum(confidence) AS confidence,
  count(*) FILTER (WHERE reviewed IS NULL AND EXISTS (
    SELECT FROM reviews r WHERE (r.ticket_id, r.digest) = (strata.ticket_id, strata.digest)
  )) AS unasked FROM strata GROUP BY stratum
) AS counted
LEFT JOIN reviewed_texts USING (stratum) ORDER BY stratum
"""


def model_accuracy(
    database: Database,
    model_version: str,
    since: datetime | None = None,
    *,
    trained: Collection[str] | None = (),
    decided: bool = False,
) -> AccuracyEstimate | None:
    """The accuracy on all texts received from `since` on that the version classified before the last sampling round.

    None if no randomly sampled text has a review that counts.

    Args:
        trained: digests of the texts that the version was trained on; None if they are not known.
        decided: without texts in the band `abstain`.
    """
    rounds = sampling_rounds(database, model_version)
    if not rounds:
        return None
    first = max(min(sampling.since for sampling in rounds), since or datetime.min.replace(tzinfo=UTC))
    rows = database.rows(
        _REVIEWED_TEXTS, version=model_version, since=first,
        until=max(sampling.drawn_at for sampling in rounds), predict=PREDICT_SOURCE, decided=decided,
        trained=to_json(list(trained or ())).decode(),
    )  # fmt: skip
    left_out = sum(len(row.was_right or ()) for row in rows if row.stratum == _TRAINED)
    rows = [row for row in rows if row.stratum != _TRAINED]
    return estimate_accuracy(
        {row.stratum: row.texts for row in rows},
        {row.stratum: _reviewed_texts(row) for row in rows},
        rounds,
        unasked=sum(row.unasked for row in rows),
        mean_confidence=sum(row.confidence for row in rows) / sum(row.texts for row in rows) if rows else None,
        trained=None if trained is None else left_out,
    )


def sampling_rounds(database: Database, model_version: str) -> list[SamplingRound]:
    """Sampling rounds of a version with at least one reviewed text."""
    return [SamplingRound(*row) for row in database.rows(_ROUNDS, version=model_version)]


def _reviewed_texts(row: Row[Any]) -> list[ReviewedText]:
    columns = (column or () for column in (row.was_right, row.received, row.classified, row.inclusions))
    return [ReviewedText(*values) for values in zip(*columns, strict=True)]
