"""Response types of the API and the client: results, changes, a ticket's details, a `/predict` answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue


@dataclass(frozen=True, slots=True)
class Result:
    """A row of the view `results`: a ticket's effective label and the model's prediction."""

    ticket_id: int
    source: str
    external_id: str
    label: str
    confidence: float
    band: str
    model_label: str
    reviewer: str | None
    model_version: str
    received_at: datetime
    classified_at: datetime
    tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Results, newest first. `after` is the cursor of the next page, and None on the last one."""

    rows: list[Result]
    after: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """A ticket whose current result changed, with its newest result; None if the ticket was `forgotten`.

    `cursor` continues the feed after this change.
    """

    cursor: str
    ticket_id: int
    source: str
    external_id: str
    forgotten: bool
    result: Result | None


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes, oldest first. `after` is the cursor of later changes; without rows, there are none yet."""

    rows: list[Change]
    after: str


class _FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class PredictionRecord(_FrozenModel):
    """The prediction of one model version for one text of a ticket."""

    model_version: str
    label: str
    confidence: float
    band: str
    classified_at: datetime
    is_current: bool


class ReviewRecord(_FrozenModel):
    """A person's review of a ticket. No label means that it is unclear."""

    label: str | None
    reviewer: str
    reviewed_at: datetime


class TicketDetail(_FrozenModel):
    """Everything stored about a ticket. `label` is the effective one: the reviewer's, else the model's."""

    source: str
    external_id: str
    text: str | None
    metadata: dict[str, JsonValue]
    label: str
    confidence: float
    band: str
    model_label: str
    model_version: str
    probabilities: dict[str, float]
    reviewer: str | None
    tokens: int
    truncated: bool
    revision: int = Field(description="number of the newest text; the result is of this text")
    revised_at: datetime
    received_at: datetime
    classified_at: datetime
    history: Sequence[PredictionRecord]
    reviews: Sequence[ReviewRecord]


class PredictResponse(_FrozenModel):
    """Answer of `/predict`, as in the original specification: a text's class and the model's confidence."""

    class_name: str = Field(examples=["suporte"])
    confidence: float = Field(examples=[0.93])
