"""The accuracy that a version expects of itself, its mean confidence, next to the accuracy that reviews measured.

Calibrated confidences are right on average. If their mean lies outside the interval of the reviews' estimate, the
calibration no longer fits the texts. Texts in the band `abstain` do not count: nobody acts on their labels.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.connect import Database
from triagem.db.reviews.accuracy import AccuracyEstimate, model_accuracy

RECENT: Final = timedelta(days=30)  # the period of the reports, as of a review session
# tests/unit/test_accuracy.py simulates how often they are exceeded although the confidences are calibrated.
MIN_SAMPLED: Final = 100
MARGIN: Final = 0.02


@dataclass(frozen=True, slots=True)
class ExpectedAccuracy:
    """A version's mean confidence, `value`, in its decided current results (`texts`); None without any.

    `reviewed` is the reviews' estimate for those classified before the last sampling round.
    """

    texts: int
    value: float | None
    reviewed: AccuracyEstimate | None

    @property
    def diverged(self) -> bool:
        """Whether the reviews contradict the confidences."""
        return self.reviewed is not None and diverges(self.reviewed)


def diverges(reviewed: AccuracyEstimate) -> bool:
    """Whether the mean confidence is outside the interval of the estimate by more than `MARGIN`.

    Never with fewer than `MIN_SAMPLED` reviews of randomly sampled texts.
    """
    expected = reviewed.mean_confidence
    if expected is None or reviewed.sampled < MIN_SAMPLED:
        return False
    return not reviewed.low - MARGIN <= expected <= reviewed.high + MARGIN


_EXPECTED: Final = """
SELECT count(*) AS texts, avg(confidence) AS value FROM tickets
WHERE model_version = :version AND band <> 'abstain' AND forgotten_at IS NULL AND source <> :predict
  AND received_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
"""


def expected_accuracy(
    database: Database,
    model_version: str,
    since: datetime | None = None,
    *,
    trained: Collection[str] | None = (),
) -> ExpectedAccuracy:
    """Both figures for texts received from `since` on. `trained` as in `model_accuracy`."""
    row = database.one(_EXPECTED, version=model_version, predict=PREDICT_SOURCE, since=since)
    reviewed = model_accuracy(database, model_version, since, trained=trained, decided=True)
    return ExpectedAccuracy(row.texts, row.value, reviewed)


@dataclass(frozen=True, slots=True)
class AccuracyReport:
    """The stored figures of a version on a day: the accuracy that it expects, and the reviews' estimate if any."""

    model_version: str
    day: date
    expected: float
    reviewed: float | None
    low: float | None
    high: float | None
    sampled: int
    diverged: bool


_STORE: Final = """
INSERT INTO accuracy_reports (model_version, day, texts, expected, reviewed, low, high, sampled, diverged)
VALUES (:version, (CAST(:now AS timestamptz) AT TIME ZONE 'UTC')::date, :texts, :expected, :reviewed, :low, :high,
  :sampled, :diverged)
ON CONFLICT (model_version, day) DO UPDATE SET made_at = now(), texts = excluded.texts, expected = excluded.expected,
  reviewed = excluded.reviewed, low = excluded.low, high = excluded.high, sampled = excluded.sampled,
  diverged = excluded.diverged
"""


def store_accuracy_report(database: Database, model_version: str, expected: ExpectedAccuracy, now: datetime) -> None:
    """Store the figures as the day's report; without a decided text, store nothing."""
    if expected.value is None:
        return
    reviewed = expected.reviewed
    database.execute(
        _STORE, version=model_version, now=now, texts=expected.texts, expected=expected.value,
        reviewed=reviewed and reviewed.value, low=reviewed and reviewed.low, high=reviewed and reviewed.high,
        sampled=reviewed.sampled if reviewed else 0, diverged=expected.diverged,
    )  # fmt: skip


def newest_accuracy_reports(database: Database, *, limit: int) -> list[AccuracyReport]:
    """The newest reports, newest first."""
    return [
        AccuracyReport(*row)
        for row in database.rows(
            "SELECT model_version, day, expected, reviewed, low, high, sampled, diverged FROM accuracy_reports "
            "ORDER BY day DESC, made_at DESC LIMIT :limit",
            limit=limit,
        )
    ]
