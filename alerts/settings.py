"""The tables of `TRIAGEM_ALERTS_FILE`: who is told what, and through which channels."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from contracts.prediction import Band
from db.alerts import LOW_CONFIDENCE
from outgoing.standard import SigningKey

Language = Literal["en", "pt-BR"]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class _Channel(_Table):
    language: Language | None = Field(default=None, description="else the rule's, else the file's")


class Slack(_Channel):
    """An incoming webhook as Slack has them, and Mattermost and Rocket.Chat. Who knows its address may post there."""

    type: Literal["slack"]
    url: SecretStr


class Webhook(_Channel):
    """Any receiver, by a signed webhook after Standard Webhooks."""

    type: Literal["webhook"]
    url: SecretStr
    secret: SigningKey


Channel = Annotated[Slack | Webhook, Field(discriminator="type")]


class Rule(_Table):
    """Which alerts are told together, and through which channels. What is not given does not choose."""

    channels: list[_Name] = Field(min_length=1)
    kinds: list[str] = Field(default=[LOW_CONFIDENCE], min_length=1)
    labels: list[str] | None = Field(default=None, min_length=1)
    sources: list[str] | None = Field(default=None, min_length=1)
    bands: list[Band] | None = Field(default=None, min_length=1)
    under: float | None = Field(default=None, gt=0, le=1, description="confidence; only tickets below it")
    every_s: float = Field(default=300, ge=1, le=86_400, description="at most one message in so many seconds")
    language: Language | None = None


class Document(_Table):
    """The whole file."""

    allowed_hosts: list[str] = []
    language: Language = "en"
    channels: dict[_Name, Channel] = {}
    rules: dict[_Name, Rule] = {}
