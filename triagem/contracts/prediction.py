"""What the model and the judge say of one text."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Band(StrEnum):
    """What to do with a prediction: act on it, let a person look, or don't act on the label at all."""

    AUTOMATE = "automate"
    REVIEW = "review"
    ABSTAIN = "abstain"


class Thresholds(BaseModel):
    """Where the bands lie, and how large a share of recent tickets is reviewed whatever their confidence.

    The 0.7 is the seed document's. The budget stands beside it because under a shift of the input the
    confidences stay high while the errors rise: the ranking survives where the threshold stops biting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    review: float = Field(default=0.7, ge=0, le=1, description="a confidence under it is reviewed")
    review_budget: float = Field(default=0.05, ge=0, le=1, description="the least sure share, always reviewed")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One judged text. `probabilities` holds every label of the model, in the manifest's order, summing to 1."""

    label: str
    confidence: float
    probabilities: Mapping[str, float]
    band: Band
    model_version: str
    tokens: int
    truncated: bool
