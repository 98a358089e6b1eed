"""Prediction of one text: label, confidence, probabilities and band."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, Field


class Band(StrEnum):
    """Permitted use of a prediction: automatically, after a person's review, or not at all."""

    AUTOMATE = "automate"
    REVIEW = "review"
    ABSTAIN = "abstain"


class AbstainReason(StrEnum):
    """The reason for the band `abstain`."""

    AUTOMATIC = "automatic"
    NO_WORDS = "no-words"
    GREETING = "greeting"
    OTHER_SCRIPT = "other-script"
    OTHER_LANGUAGE = "other-language"
    UNKNOWN_WORDS = "unknown-words"


class Thresholds(BaseModel, frozen=True, extra="forbid"):
    """The review threshold, and the review budget: the share of recent tickets that is reviewed at any confidence.

    The threshold of 0.7 comes from the original specification. The budget complements it: when the input shifts,
    confidences stay high while errors rise. The threshold then selects too few tickets, but the ranking by confidence
    stays useful.
    """

    review: float = Field(default=0.7, ge=0, le=1, description="lower confidences are reviewed")
    automate: bool = Field(
        default=True,
        description="false: the precision is not proved; everything is reviewed, and no alert or CRM is told",
    )
    review_budget: float = Field(default=0.05, ge=0, le=1, description="lowest-confidence share, always reviewed")
    tokens_per_char: float | None = Field(
        default=None,
        gt=0,
        description="texts with more get no decision: their words are unlike the training rows'",
    )
    languages: tuple[str, ...] = Field(default=(), description="of the training rows, ISO 639-1")
    other_language: float | None = Field(
        default=None, gt=0, le=1, description="texts that are more probably in other languages get no decision"
    )


@dataclass(slots=True)
class BandDecision:
    """The most probable label, its confidence, the probability of each label, and the band.

    `probabilities` are in the manifest's order, and sum to 1.
    """

    label: str
    confidence: float
    probabilities: Mapping[str, float]
    band: Band


@dataclass(slots=True)
class Prediction(BandDecision):
    """A model version's prediction of one text."""

    model_version: str
    tokens: int
    truncated: bool
    abstain_reason: AbstainReason | None = None
