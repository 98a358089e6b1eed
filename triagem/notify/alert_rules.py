"""Reads `TRIAGEM_ALERTS_FILE`, the TOML file of alert rules, channels and allowed hosts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator

from triagem import settings_file
from triagem.contracts.errors import InvalidInput
from triagem.contracts.field_errors import first_error
from triagem.contracts.prediction import Band
from triagem.db.outbox.alerts import ALERT_KINDS, LOW_CONFIDENCE
from triagem.notify.apprise_channel import check_apprise_url
from triagem.notify.hosts import check_url
from triagem.notify.request import SigningKey
from triagem.process import TimezoneSettings
from triagem.settings_file import ReloadedFile, SettingsTable

Language = Literal["en", "pt-BR"]
Security = Literal["starttls", "ssl", "none"]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
_Address = Annotated[str, Field(pattern=r"^[!-~]+@[A-Za-z0-9.-]+$", description="the bare address: ops@example.com")]
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


class _Channel(SettingsTable):
    language: Language | None = Field(default=None, description="default: the file's; a rule's language overrides it")


class SlackChannel(_Channel):
    """An incoming webhook of Slack, Mattermost or Rocket.Chat. Its URL is a secret: whoever knows it can post."""

    type: Literal["slack"]
    url: SecretStr


class WebhookChannel(_Channel):
    """A receiver of webhooks that are signed according to Standard Webhooks."""

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


class AppriseChannel(_Channel):
    """A channel of Apprise, such as Telegram, Microsoft Teams or Discord. Its URL holds the credentials."""

    type: Literal["apprise"]
    url: SecretStr = Field(description="as Apprise documents it, such as tgram://TOKEN/CHAT")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if apprise_problem := check_apprise_url(self.url.get_secret_value()):
            raise ValueError(f"url: {apprise_problem}")
        return self


Channel = Annotated[SlackChannel | WebhookChannel | EmailChannel | AppriseChannel, Field(discriminator="type")]


class AlertRule(SettingsTable):
    """Chooses alerts that are sent together, and the channels for them. An omitted filter matches everything."""

    channels: list[_Name] = Field(min_length=1)
    kinds: list[str] = Field(default=[LOW_CONFIDENCE], min_length=1)
    labels: list[str] | None = Field(default=None, min_length=1)
    sources: list[str] | None = Field(default=None, min_length=1)
    bands: list[Band] | None = Field(default=None, min_length=1)
    under: float | None = Field(default=None, gt=0, le=1, description="only tickets with a lower confidence")
    every_s: float = Field(default=300, ge=1, le=86_400, description="minimum seconds between messages about tickets")
    language: Language | None = None


class AlertsDocument(SettingsTable):
    """The whole file."""

    allowed_hosts: list[str] = Field(default_factory=list)
    language: Language = "en"
    channels: dict[_Name, Channel] = Field(default_factory=dict)
    rules: dict[_Name, AlertRule] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """A channel of a rule, and the language of its messages."""

    rule: AlertRule
    channel: Channel
    language: Language


@dataclass(frozen=True, slots=True)
class AlertRules:
    """The content of the file. Targets are keyed by rule and channel, such as `doubtful.team`."""

    targets: Mapping[str, AlertTarget]
    allowed_hosts: tuple[str, ...] = ()

    @property
    def subscriptions(self) -> list[dict[str, Any]]:
        """The targets as subscriptions of the outbox."""
        return [
            {"target": name, **target.rule.model_dump(mode="json", exclude={"channels", "language"})}
            for name, target in self.targets.items()
        ]


class AlertSettings(TimezoneSettings, used_by="ops, beat"):
    """`TRIAGEM_ALERTS_FILE`, and the time zone and the targets of the links in alert messages."""

    alerts_file: Path | None = Field(default=None, description="TOML file of alert rules and channels")
    console_url: str | None = Field(
        default=None, pattern=r"^https?://[^\s?#]+$", description="base URL of links to the console in alert messages"
    )
    runbook_url: str = Field(
        default="docs/how-to/runbook.md",
        pattern=r"^[^\s?#]+$",
        description="URL of your published runbook, for links in alert messages; default: its path in the sources",
    )


class AlertsFile(ReloadedFile[AlertRules]):
    """The alerts file of a running process, read again every few seconds. Without a path, there are no rules."""

    def __init__(self, path: Path | None, **timing: Any) -> None:
        super().__init__("TRIAGEM_ALERTS_FILE", path, load, AlertRules({}), **timing)

    @classmethod
    def from_environment(cls) -> Self:
        """The file that `TRIAGEM_ALERTS_FILE` names."""
        return cls(AlertSettings().alerts_file)


def load(path: Path) -> AlertRules:
    """Read the file and its secret files (`url_file` and the like, relative to the file's folder).

    Raises:
        InvalidInput: names the wrong table and field, never the value of a secret.
    """
    document = settings_file.read(path)
    try:
        parsed = AlertsDocument.model_validate(document)
    except ValidationError as error:
        raise InvalidInput(f"{path} {_place(error)}") from None
    for name, channel in parsed.channels.items():
        if isinstance(channel, SlackChannel | WebhookChannel):
            check_url(channel.url.get_secret_value(), parsed.allowed_hosts, f"{path} [channels.{name}] url")
    return AlertRules(dict(_targets(parsed, path)), tuple(parsed.allowed_hosts))


def _place(error: ValidationError) -> str:
    """The table and the field, as in `[rules.doubtful] under`, and the reason."""
    field, reason = first_error(error)
    kind, _, inner = [*field.split(".", 2), "", ""][:3]
    _, name, *fields = [*error.errors(include_url=False, include_input=False)[0]["loc"], "", ""]
    if kind == "channels":  # pydantic adds the type to the place of a channel's field
        inner = inner.partition(".")[2]
        inner_field, colon, inner_reason = reason.partition(": ")
        if not inner and colon:  # of a check of the whole channel
            inner, reason = inner_field, inner_reason
    if "[key]" in fields:  # of pydantic: the name of the table
        inner = "name"
    return f"[{kind}.{name}] {inner}: {reason}" if inner else f"{kind}.{name}".removesuffix(".") + f": {reason}"


def _targets(document: AlertsDocument, path: Path) -> list[tuple[str, AlertTarget]]:
    targets = []
    for name, rule in document.rules.items():
        where = f"{path} [rules.{name}]"
        if unknown := sorted(set(rule.kinds) - ALERT_KINDS):
            raise InvalidInput(f"{where} kinds: {unknown[0]!r} is not one of {', '.join(sorted(ALERT_KINDS))}")
        for channel_name in dict.fromkeys(rule.channels):
            if (channel := document.channels.get(channel_name)) is None:
                raise InvalidInput(f"{where} channels: there is no [channels.{channel_name}]")
            language = rule.language or channel.language or document.language
            targets.append((f"{name}.{channel_name}", AlertTarget(rule, channel, language)))
    return targets
