"""The tables of `TRIAGEM_ALERTS_FILE`: who is told what, and through which channels."""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from triagem.contracts.prediction import Band
from triagem.db.alerts import LOW_CONFIDENCE
from triagem.outgoing.mail import Security
from triagem.outgoing.standard import SigningKey

Language = Literal["en", "pt-BR"]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
_Address = Annotated[str, Field(pattern=r"^[!-~]+@[A-Za-z0-9.-]+$", description="without a name: ops@example.com")]
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


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


class Mail(_Channel):
    """E-mail, handed in at an SMTP server."""

    type: Literal["email"]
    host: str = Field(pattern=r"^[^\s/:@]+$")
    port: int = Field(default=587, ge=1, le=65535, description="587 with starttls, 465 with ssl")
    security: Security = Field(default="starttls", description="none: on this machine only")
    user: str | None = None
    password: SecretStr | None = None
    sender: _Address = Field(alias="from")
    to: list[_Address] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user: user and password belong together")
        if self.security == "none" and self.host not in _LOOPBACK:
            raise ValueError("security: none is for this machine only, use starttls or ssl")
        return self


Channel = Annotated[Slack | Webhook | Mail, Field(discriminator="type")]


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
