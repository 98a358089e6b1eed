"""`TRIAGEM_ALERTS_FILE`: a TOML file of rules and channels, and the hosts that messages may go to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from triagem.alerts.settings import Channel, Document, Language, Mail, Rule
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import complaint
from triagem.db.alerts import KINDS
from triagem.db.notices import Wanted
from triagem.outgoing import settings_file
from triagem.outgoing.hosts import check_url

# Fields that a file may hold in place of the table, as Docker and Kubernetes hand secrets in.
_SECRETS: Final = ("url", "secret", "user", "password")


@dataclass(frozen=True, slots=True)
class Target:
    """One rule's channel, and the language of what it is told."""

    rule: Rule
    channel: Channel
    language: Language


@dataclass(frozen=True, slots=True)
class Rules:
    """The file's content. Targets by name, as `doubtful.team`: the rule and its channel."""

    targets: Mapping[str, Target]
    allowed_hosts: tuple[str, ...] = ()

    @property
    def wanted(self) -> list[Wanted]:
        """What the outbox must know of the rules."""
        return [
            Wanted(name, **one.rule.model_dump(mode="json", exclude={"channels", "language"}))
            for name, one in self.targets.items()
        ]


class AlertSettings(BaseSettings):
    """Where the file is, and where people look at tickets."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    alerts_file: Path | None = None
    console_url: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+$", description="links lead there")


def from_environment() -> Rules:
    """What `TRIAGEM_ALERTS_FILE` names; nothing, if it names nothing. Raises InvalidInput as `load` does."""
    path = AlertSettings().alerts_file
    return load(path) if path else Rules({})


def load(path: Path) -> Rules:
    """Read the file, and the files that its `url_file` and the like name, from its folder.

    Raises:
        InvalidInput: naming the table and the field that is wrong, never what a secret holds.
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
        found = Document.model_validate(document)
    except ValidationError as error:
        field, reason = complaint(error)
        raise InvalidInput(f"{path} {field}: {reason}") from None
    for name, channel in found.channels.items():
        if not isinstance(channel, Mail):
            check_url(channel.url.get_secret_value(), found.allowed_hosts, f"{path} [channels.{name}] url")
    return Rules(dict(_targets(found, path)), tuple(found.allowed_hosts))


def _targets(found: Document, path: Path) -> list[tuple[str, Target]]:
    targets = []
    for name, rule in found.rules.items():
        where = f"{path} [rules.{name}]"
        if unknown := sorted(set(rule.kinds) - KINDS):
            raise InvalidInput(f"{where} kinds: {unknown[0]!r} is none of {', '.join(sorted(KINDS))}")
        for one in dict.fromkeys(rule.channels):
            if (channel := found.channels.get(one)) is None:
                raise InvalidInput(f"{where} channels: there is no [channels.{one}]")
            language = rule.language or channel.language or found.language
            targets.append((f"{name}.{one}", Target(rule, channel, language)))
    return targets
