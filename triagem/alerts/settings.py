"""Schema of `TRIAGEM_ALERTS_FILE`: channels, and the rules that choose alerts for them."""

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from triagem.contracts.prediction import Band
from triagem.db.alerts import LOW_CONFIDENCE
from triagem.outgoing.mail import Security
from triagem.outgoing.standard_webhooks import SigningKey

Language = Literal["en", "pt-BR"]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
_Address = Annotated[str, Field(pattern=r"^[!-~]+@[A-Za-z0-9.-]+$", description="the bare address: ops@example.com")]
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class _Channel(_Table):
    language: Language | None = Field(default=None, description="default: the file's; a rule's language wins")


class SlackChannel(_Channel):
    """An incoming webhook of Slack, Mattermost or Rocket.Chat. Its URL is a secret: whoever knows it can post."""

    type: Literal["slack"]
    url: SecretStr


class WebhookChannel(_Channel):
    """Any receiver of webhooks signed according to Standard Webhooks."""

    type: Literal["webhook"]
    url: SecretStr
    secret: SigningKey


class EmailChannel(_Channel):
    """E-mail through an SMTP server."""

    type: Literal["email"]
    host: str = Field(pattern=r"^[^\s/:@]+$")
    port: int = Field(default=587, ge=1, le=65535, description="587 with starttls, 465 with ssl")
    security: Security = Field(default="starttls", description="none: only for a server on this machine")
    user: str | None = None
    password: SecretStr | None = None
    sender: _Address = Field(alias="from")
    to: list[_Address] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user: set both user and password, or neither")
        if self.security == "none" and self.host not in _LOOPBACK:
            raise ValueError("security: none is only for a server on this machine; use starttls or ssl")
        return self


Channel = Annotated[SlackChannel | WebhookChannel | EmailChannel, Field(discriminator="type")]


class AlertRule(_Table):
    """Chooses alerts that are sent together, and the channels for them. An omitted filter matches everything."""

    channels: list[_Name] = Field(min_length=1)
    kinds: list[str] = Field(default=[LOW_CONFIDENCE], min_length=1)
    labels: list[str] | None = Field(default=None, min_length=1)
    sources: list[str] | None = Field(default=None, min_length=1)
    bands: list[Band] | None = Field(default=None, min_length=1)
    under: float | None = Field(default=None, gt=0, le=1, description="only tickets with a lower confidence")
    every_s: float = Field(default=300, ge=1, le=86_400, description="minimum seconds between messages")
    language: Language | None = None


class AlertsDocument(_Table):
    """The whole file."""

    allowed_hosts: list[str] = []
    language: Language = "en"
    channels: dict[_Name, Channel] = {}
    rules: dict[_Name, AlertRule] = {}
