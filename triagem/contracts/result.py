"""What people who ask are told: one row of results, a page of them, all that is known of a ticket."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the view `results`: a ticket's effective label and what the model said."""

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
class Page:
    """Results, newest first. `after` asks for the next page, and is None on the last one."""

    rows: list[Result]
    after: str | None


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class Said(_Told):
    """What one model version said of one text of a ticket."""

    model_version: str
    label: str
    confidence: float
    band: str
    classified_at: datetime
    is_current: bool


class Verdict(_Told):
    """What a person said of a ticket; without a label, that it is unclear."""

    label: str | None
    reviewer: str
    reviewed_at: datetime


class Known(_Told):
    """All that is known of a ticket. `label` is the effective one: a person's verdict, else the model's."""

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
    revised_at: datetime
    received_at: datetime
    classified_at: datetime
    history: Sequence[Said]
    reviews: Sequence[Verdict]


class Answer(_Told):
    """The seed's `/predict`: a text's class, and how sure the model is of it."""

    class_name: str = Field(examples=["suporte"])
    confidence: float = Field(examples=[0.93])
