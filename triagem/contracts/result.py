"""Response types of the API and the client: results, changes, a ticket's details, a `/predict` answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, Field, JsonValue

_Source: TypeAlias = Annotated[str, Field(description="the CRM")]
_ExternalId: TypeAlias = Annotated[str, Field(description="the ticket's id in the CRM")]
_TicketId: TypeAlias = Annotated[int, Field(description="Triagem's id of the ticket, as in the SQL views")]
_EffectiveLabel: TypeAlias = Annotated[str, Field(description="the latest reviewer's label, else the model's")]
_ModelLabel: TypeAlias = Annotated[str, Field(description="the model's label")]
_Confidence: TypeAlias = Annotated[float, Field(description="the model's calibrated confidence in its label, 0 to 1")]
_Band: TypeAlias = Annotated[str, Field(description="`automate`, `review` or `abstain`: permitted use")]
_AbstainReason: TypeAlias = Annotated[
    str | None,
    Field(
        description="why the band is `abstain`: `automatic`, `no-words`, `greeting`, `other-script`, "
        "`other-language` or `unknown-words`; else null"
    ),
]
_Version: TypeAlias = Annotated[str, Field(description="the model version that made the prediction")]
_Reviewer: TypeAlias = Annotated[str | None, Field(description="who wrote the latest review; null without a review")]
_UNCLEAR: Final = "whether the latest review could not determine the label; `label` is then the model's"
_ReceivedAt: TypeAlias = Annotated[datetime, Field(description="when the ticket was first received")]
_ClassifiedAt: TypeAlias = Annotated[datetime, Field(description="when the prediction was made")]
_Tokens: TypeAlias = Annotated[int, Field(description="length of the text in the model's tokens")]
_Language: TypeAlias = Annotated[
    str, Field(description="ISO 639 code of the text's language; `und` where it does not show")
]
_Truncated: TypeAlias = Annotated[bool, Field(description="whether the end of the text was not read")]


@dataclass(frozen=True, slots=True)
class Result:
    """A row of the view `results`: a ticket's effective label and the model's prediction."""

    ticket_id: _TicketId
    source: _Source
    external_id: _ExternalId
    label: _EffectiveLabel
    confidence: _Confidence
    band: _Band
    model_label: _ModelLabel
    reviewer: _Reviewer
    unclear: Annotated[bool, Field(description=_UNCLEAR)]
    model_version: _Version
    received_at: _ReceivedAt
    classified_at: _ClassifiedAt
    tokens: _Tokens
    truncated: _Truncated
    language: _Language
    abstain_reason: _AbstainReason


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Results, newest first. `after` is the cursor of the next page, and None on the last one."""

    rows: Annotated[list[Result], Field(description="one row per ticket")]
    after: Annotated[str | None, Field(description="cursor of the next page; null on the last one")]


@dataclass(frozen=True, slots=True)
class Change:
    """A ticket whose current result changed, with its newest result; None if the ticket was `forgotten`.

    `cursor` continues the feed after this change.
    """

    cursor: Annotated[str, Field(description="continues the feed after this change")]
    ticket_id: _TicketId
    source: _Source
    external_id: _ExternalId
    forgotten: Annotated[bool, Field(description="whether the ticket was forgotten: delete your copy")]
    result: Annotated[Result | None, Field(description="the newest result; null if the ticket was forgotten")]


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes, oldest first. `after` is the cursor of later changes; without rows, there are none yet."""

    rows: Annotated[list[Change], Field(description="one row per changed ticket")]
    after: Annotated[str, Field(description="cursor of later changes")]


class PredictionRecord(BaseModel, frozen=True):
    """The prediction of one model version for one text of a ticket."""

    model_version: _Version
    label: _ModelLabel
    confidence: _Confidence
    band: _Band
    classified_at: _ClassifiedAt
    is_current: bool = Field(description="whether it is the current result")


class ReviewRecord(BaseModel, frozen=True):
    """A person's review of a ticket. No label means that it is unclear."""

    label: str | None = Field(description="the label; null if the reviewer could not tell")
    reviewer: str = Field(description="the name of the reviewer's API key")
    reviewed_at: datetime = Field(description="time of the review")
    comment: str | None = Field(default=None, description="the reviewer's comment")
    proposal: str | None = Field(default=None, description="a label that the reviewer proposed")


class MessageRecord(BaseModel, frozen=True):
    """A message of a conversation. Its text is null if it was deleted or purged."""

    message_id: str = Field(description="the message's id in the CRM; empty for a whole text")
    author: str = Field(description="`customer`, `agent` or `bot`")
    text: str | None = Field(description="the message as it came")
    written_at: datetime = Field(description="when it was written, according to the CRM")
    edited_at: datetime | None = Field(description="when it was last edited; null if never")
    deleted_at: datetime | None = Field(description="when it was deleted; null if it was not")
    classified: bool = Field(description="whether the result is about it")


class TicketDetail(BaseModel, frozen=True):
    """Everything stored about a ticket. `label` is the effective one: the reviewer's, else the model's.

    The fields of the result are null unless `state` is `classified`.
    """

    source: _Source
    external_id: _ExternalId
    text: str | None = Field(description="as it came, or the classified messages; null if it was purged")
    metadata: dict[str, JsonValue] = Field(description="JSON that the CRM sent with the ticket")
    state: str = Field(description="`classified`; `unlabelled` without a model, `waiting` or `failed`: no result")
    label: str | None = Field(description="the latest reviewer's label, else the model's")
    confidence: float | None = Field(description="the model's calibrated confidence in its label, 0 to 1")
    band: str | None = Field(description="`automate`, `review` or `abstain`: permitted use")
    model_label: str | None = Field(description="the model's label")
    model_version: str | None = Field(description="the model version that made the prediction")
    probabilities: dict[str, float] | None = Field(description="the probability of each label")
    reviewer: _Reviewer
    unclear: bool | None = Field(description=_UNCLEAR)
    disputed: bool = Field(
        default=False, description="whether not more than half of the reviewers agree with the latest review"
    )
    tokens: int | None = Field(description="length of the text in the model's tokens")
    truncated: bool | None = Field(description="whether the end of the text was not read")
    language: _Language
    abstain_reason: _AbstainReason
    revision: int = Field(description="number of the newest text; the result is of this text")
    revised_at: datetime = Field(description="when the text was written, according to the CRM")
    received_at: _ReceivedAt
    classified_at: datetime | None = Field(description="when the prediction was made")
    history: Sequence[PredictionRecord] = Field(description="the newest 200 predictions, newest first")
    reviews: Sequence[ReviewRecord] = Field(description="the newest 200 reviews, newest first")
    messages: Sequence[MessageRecord] = Field(
        description="a conversation's newest 200 messages and older ones that the result is about, oldest first"
    )
    older_history: int = Field(default=0, description="number of older predictions, which are left out")
    older_reviews: int = Field(default=0, description="number of older reviews, which are left out")
    older_messages: int = Field(default=0, description="number of older messages, which are left out: use `skip`")


class TicketReceipt(BaseModel, frozen=True):
    """The receipt of one ticket. An accepted ticket will be classified; a rejected one has a reason."""

    status: Literal["accepted", "rejected"] = Field(description="whether it is accepted", examples=["accepted"])
    entry_id: str | None = Field(default=None, description="its id in the lane", examples=["1793622600000-0"])
    field: str | None = Field(default=None, description="the first field that is wrong")
    reason: str | None = Field(default=None, description="why it was rejected")


class PredictResponse(BaseModel, frozen=True):
    """Answer of `/predict`, as in the original specification: a text's class and the model's confidence."""

    class_name: str = Field(description="the label", examples=["suporte"])
    confidence: float = Field(description="calibrated confidence, 0 to 1", examples=[0.93])
