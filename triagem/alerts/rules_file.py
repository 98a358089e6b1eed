"""Reads `TRIAGEM_ALERTS_FILE`, the TOML file of alert rules, channels and allowed hosts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from triagem.alerts.settings import AlertRule, AlertsDocument, Channel, EmailChannel, Language
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import first_error
from triagem.db.alert_digests import Subscription
from triagem.db.alerts import ALERT_KINDS
from triagem.outgoing import settings_file
from triagem.outgoing.hosts import check_url

# Fields whose value may come from a file (`url_file`), the way Docker and Kubernetes mount secrets.
_SECRETS: Final = ("url", "secret", "user", "password")


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
    def subscriptions(self) -> list[Subscription]:
        """The targets as subscriptions of the outbox."""
        return [
            Subscription(name, **target.rule.model_dump(mode="json", exclude={"channels", "language"}))
            for name, target in self.targets.items()
        ]


class AlertSettings(BaseSettings):
    """`TRIAGEM_ALERTS_FILE` and `TRIAGEM_CONSOLE_URL`."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    alerts_file: Path | None = None
    console_url: str | None = Field(
        default=None, pattern=r"^https?://[^\s?#]+$", description="base URL of links to tickets"
    )


def from_environment() -> AlertRules:
    """The rules of `TRIAGEM_ALERTS_FILE`, or no rules if it is unset. Raises InvalidInput as `load` does."""
    path = AlertSettings().alerts_file
    return load(path) if path else AlertRules({})


def load(path: Path) -> AlertRules:
    """Read the file and its secret files (`url_file` and the like, relative to the file's folder).

    Raises:
        InvalidInput: names the wrong table and field, never the value of a secret.
    """
    document = settings_file.read(path)
    if isinstance(channels := document.get("channels"), dict):
        document["channels"] = {
            name: settings_file.with_secrets(table, _SECRETS, path, f"channels.{name}")
            if isinstance(table, dict)
            else table
            for name, table in channels.items()
        }
    try:
        parsed = AlertsDocument.model_validate(document)
    except ValidationError as error:
        field, reason = first_error(error)
        raise InvalidInput(f"{path} {field}: {reason}") from None
    for name, channel in parsed.channels.items():
        if not isinstance(channel, EmailChannel):
            check_url(channel.url.get_secret_value(), parsed.allowed_hosts, f"{path} [channels.{name}] url")
    return AlertRules(dict(_targets(parsed, path)), tuple(parsed.allowed_hosts))


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
