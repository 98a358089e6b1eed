"""Ticket: one revision of a customer's text in a CRM, or of one message of a conversation.

Values that cannot be stored are rejected or replaced here.

NUL characters become U+FFFD: Postgres cannot store them, and rejecting would lose a customer's message. Lone
surrogates, non-finite numbers and integers beyond 64 bits are rejected, in every field.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    Field,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from triagem.contracts.errors import InvalidTicket
from triagem.contracts.field_errors import UNNAMED, first_error
from triagem.contracts.moments import EARLIEST_MOMENT, read_moment

MAX_TEXT_CHARS: Final = 100_000
MAX_METADATA_CHARS: Final = 16_384
MAX_METADATA_DEPTH: Final = 16
MAX_CLOCK_SKEW: Final = timedelta(minutes=5)
# The source of texts sent to POST /predict. These texts are not tickets of a CRM: they are answered and soon deleted,
# and get no alert, review or drift sample.
PREDICT_SOURCE: Final = "predict"
_NAMES: Final = frozenset({"source", "external_id"})
MESSAGE_FIELDS: Final = {"message_id": "id", "author": "author"}  # short for a field of `message`
_OPTIONAL: Final = frozenset({"revised_at", "metadata", "message", *MESSAGE_FIELDS})
_MAX_CHANNEL_CHARS: Final = 64
_LANGUAGE_KEYS: Final = ("language", "lang", "locale")
_LANGUAGE_TAG: Final = re.compile(r"([A-Za-z]{2,3})(?:[-_].*)?")


def _utc(moment: datetime) -> datetime:
    """The same instant in UTC: offsets of old time zones have seconds, which offsets in JSON cannot have."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the supported dates") from None


_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Source = Annotated[_Name, Field(max_length=64, description="the CRM, e.g. `zendesk`")]
_ExternalId = Annotated[_Name, Field(max_length=255, description="the ticket's id in that CRM")]
_Moment = Annotated[AwareDatetime, AfterValidator(_utc)]


class Lane(StrEnum):
    """The queue of a ticket: `live` for customers who wait now, `bulk` for everything else."""

    LIVE = "live"
    BULK = "bulk"


class Identity(NamedTuple):
    """A ticket's identity: the CRM, and the ticket's id there."""

    source: _Source
    external_id: _ExternalId


_IDENTITY: Final = TypeAdapter(Identity)


class Author(StrEnum):
    """The author of a message of a conversation. Only customers' messages are classified."""

    CUSTOMER = "customer"
    AGENT = "agent"
    BOT = "bot"


class OnReply(StrEnum):
    """The customer's messages that a conversation's label is about: all of them, only the first, or the latest."""

    CONVERSATION = "conversation"
    FIRST = "first"
    LATEST = "latest"


class Message(BaseModel, frozen=True, extra="forbid"):
    """Makes a ticket's text one message of the conversation. Sent again with a later `revised_at`, it is an edit.

    A whole text, without this, is the message with the empty id.
    """

    id: Annotated[_Name, Field(max_length=255, description="the message's id, unique in its conversation")]
    author: Annotated[Author, Field(description="only customers' messages are classified")] = Author.CUSTOMER
    deleted: Annotated[bool, Field(description="the message was deleted; its text is not needed")] = False
    on_reply: Annotated[
        OnReply | None,
        Field(description="the messages that the label is about; default: as before, at first `conversation`"),
    ] = None

    @field_validator("id", mode="before")
    @classmethod
    def _number_as_text(cls, value: object) -> object:
        return id_text(value)


class Ticket(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A revision of a text. Its identity is (`source`, `external_id`); the newest `revised_at` wins.

    With `message`, `text` and `revised_at` belong to one message of the conversation. In input, `message_id` and
    `author` are short for `message`.
    """

    source: _Source
    external_id: _ExternalId
    text: Annotated[
        str,
        Field(max_length=MAX_TEXT_CHARS, description="subject, newline, body", json_schema_extra={"minLength": 1}),
    ]
    revised_at: Annotated[_Moment, Field(description="when the CRM says this text was written")] = Field(
        default_factory=lambda: datetime.now(UTC)
    )
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    message: Annotated[Message | None, Field(description="for a message of a conversation")] = None

    @model_validator(mode="before")
    @classmethod
    def _make_storable(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        fields = {name: value for name, value in data.items() if value is not None or name not in _OPTIONAL}
        for name in _NAMES:
            if not isinstance(value := fields.get(name), str) and name in fields:
                fields[name] = id_text(value)
        if not fields.keys().isdisjoint(MESSAGE_FIELDS):
            short = {name: fields.pop(field) for field, name in MESSAGE_FIELDS.items() if field in fields}
            if "message" in fields or "id" not in short:
                both = "message" in fields
                raise ValueError(
                    f"message_id: {'give it or message, not both' if both else 'is required with an author'}"
                )
            fields["message"] = short
        if "message" in fields:
            _read_message(fields)
        return _storable(fields, "", 0)

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if (not self.text or self.text.isspace()) and not (self.message and self.message.deleted):
            raise ValueError("text: is only white space" if self.text else "text: is empty")
        if self.revised_at < EARLIEST_MOMENT:
            raise ValueError("revised_at: is before the year 2000, or not a time")
        if self.metadata and (size := len(str(self.metadata))) > MAX_METADATA_CHARS:
            raise ValueError(f"metadata: has {size:,} characters, the limit is {MAX_METADATA_CHARS:,}")
        return self


def _read_message(fields: dict[str, Any]) -> None:
    """Convert the message to plain values, which are then validated; a deleted message has no text."""
    message = fields["message"]
    if isinstance(message, Message):
        message = fields["message"] = message.model_dump()
    if isinstance(message, dict) and message.get("deleted") is True:
        fields["text"] = ""


def id_text(value: object) -> object:
    """A whole number as text, also if it is written as a float (12.0): CRMs number their tickets."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def channel_of(metadata: Mapping[str, object]) -> str | None:
    """The channel by which the customer wrote, in the CRM's words: `email`, `whatsapp`."""
    channel = metadata.get("channel")
    return channel.strip()[:_MAX_CHANNEL_CHARS] or None if isinstance(channel, str) else None


def language_of(metadata: Mapping[str, object]) -> str | None:
    """The declared language as an ISO 639 code."""
    return next((language_code(metadata[name]) for name in _LANGUAGE_KEYS if name in metadata), None)


def language_code(declared: object) -> str | None:
    """The ISO 639 code of a language tag (`pt-BR` is `pt`); None if it is not one."""
    tag = _LANGUAGE_TAG.fullmatch(declared.strip()) if isinstance(declared, str) else None
    return tag[1].lower() if tag else None


def accept(data: Mapping[str, Any], *, now: datetime) -> Ticket:
    """Validate a ticket at intake.

    Raises:
        InvalidTicket: names the first invalid field. A `revised_at` more than five minutes ahead of `now` is
            rejected: it would win over every later revision and freeze the ticket. The source `predict` is rejected
            too, because its rows are soon deleted.
    """
    if isinstance(written := data.get("revised_at"), str):
        try:
            data = {**data, "revised_at": read_moment(written)}
        except ValueError as error:
            raise InvalidTicket("revised_at", str(error)) from None
    ticket = _ticket(data)
    if ticket.source == PREDICT_SOURCE:
        raise InvalidTicket("source", f"{PREDICT_SOURCE!r} is reserved for texts of POST /predict: use another name")
    if ticket.revised_at > now + MAX_CLOCK_SKEW:
        raise InvalidTicket("revised_at", "is more than 5 minutes in the future")
    return ticket


def read_lane(name: str) -> Lane:
    """The lane of this name. Raises InvalidTicket: nobody reads another stream."""
    try:
        return Lane(name)
    except ValueError:
        raise InvalidTicket("lane", "must be live or bulk") from None


def predict_ticket(text: str, name: str, *, now: datetime) -> Ticket:
    """The ticket for a text of POST /predict, with `name` as its external id. Raises InvalidTicket."""
    return _ticket({"source": PREDICT_SOURCE, "external_id": name, "text": text, "revised_at": now})


def _ticket(data: Mapping[str, Any]) -> Ticket:
    try:
        return Ticket.model_validate(dict(data))
    except ValidationError as error:
        raise InvalidTicket(*first_error(error)) from None


def identify(source: str, external_id: str) -> Identity:
    """A ticket's identity as intake stores it: without surrounding white space. Raises InvalidTicket."""
    names = {"source": source.replace("\0", "\ufffd"), "external_id": external_id.replace("\0", "\ufffd")}
    try:
        return _IDENTITY.validate_python(names)
    except ValidationError as error:
        raise InvalidTicket(*first_error(error)) from None


def _storable(value: object, path: str, depth: int) -> Any:
    """The value with NULs replaced; raises ValueError ("field: reason") if Postgres or JSON cannot store it."""
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError(f"{path}: has a lone surrogate (broken Unicode)") from None
        return value.replace("\0", "\ufffd")
    if isinstance(value, bytes | bytearray):
        raise ValueError(f"{path}: is bytes, expected text")
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path}: is not a finite number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{path}: is an integer beyond 64 bits")
    if isinstance(value, dict | list) and depth > MAX_METADATA_DEPTH:
        raise ValueError(f"{path}: is nested deeper than {MAX_METADATA_DEPTH} levels")
    if isinstance(value, dict):
        storable = {}
        for name, item in value.items():
            key = _storable(name, path or UNNAMED, depth)
            storable[key] = _storable(item, f"{path}.{key}" if path else key, depth + 1)
        return storable
    if isinstance(value, list):
        return [_storable(item, path, depth + 1) for item in value]
    return value
