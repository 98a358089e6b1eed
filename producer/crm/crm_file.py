"""Loads `TRIAGEM_CRM_FILE`: a TOML file with one table per source, and the hosts that requests may go to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import first_error
from triagem.notify import settings_file
from triagem.notify.crm import CrmTarget
from triagem.notify.hosts import check_url
from triagem.producer.crm.settings import ChatwootSource, FreshdeskSource, GenericSource, Source, ZendeskSource

_ADAPTERS: Final[Mapping[str, type[Source]]] = {
    "zendesk": ZendeskSource,
    "chatwoot": ChatwootSource,
    "freshdesk": FreshdeskSource,
    "generic": GenericSource,
}
# Tables of a source that configure where its results go.
_TARGET_TABLES: Final = ("callback", "tags", "labels")
_SECRETS: Final = ("secret", "token")


@dataclass(frozen=True, slots=True)
class CrmConfig:
    """The content of the file: sources by name, and the hosts that requests may go to."""

    sources: Mapping[str, Source]
    allowed_hosts: tuple[str, ...] = ()

    @property
    def destinations(self) -> dict[str, CrmTarget]:
        """Settings of the targets of results, by name: source and table, as in `shop.callback`."""
        return {
            f"{name}.{table}": target
            for name, source in self.sources.items()
            for table, target in source.destinations.items()
        }

    @property
    def targets(self) -> dict[str, str]:
        """The source of each target."""
        return {target: target.partition(".")[0] for target in self.destinations}


class CrmSettings(BaseSettings):
    """The path of the file."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")
    used_by: ClassVar = "gateway, ops"

    crm_file: Path | None = Field(
        default=None, description="TOML file of the CRMs that send webhooks and receive results"
    )


def crm_from_environment() -> CrmConfig:
    """The configuration in `TRIAGEM_CRM_FILE`; empty if it is not set. Raises InvalidInput as `load_crm_file`."""
    path = CrmSettings().crm_file
    return load_crm_file(path) if path else CrmConfig({})


def load_crm_file(path: Path) -> CrmConfig:
    """Read the file, and the files that its `secret_file` and `token_file` name.

    Raises:
        InvalidInput: names the table and the field that is wrong, never its value.
    """
    document = settings_file.read(path)
    hosts = document.pop("allowed_hosts", [])
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise InvalidInput(f"{path} allowed_hosts: expected a list of host names")
    crm = CrmConfig({name: _source(name, table, path) for name, table in document.items()}, tuple(hosts))
    for name, source in crm.sources.items():
        for table in _TARGET_TABLES:
            if (target := getattr(source, table, None)) is not None:
                check_url(target.url, crm.allowed_hosts, f"{path} [{name}.{table}] url")
    return crm


def _source(name: str, table: object, path: Path) -> Source:
    where = f"{path} [{name}]"
    if not isinstance(table, dict):
        raise InvalidInput(f"{path} {name}: expected a table, as in [{name}]")
    adapter = table.get("adapter", name)
    if not isinstance(adapter, str) or adapter not in _ADAPTERS:
        raise InvalidInput(f"{where} adapter: expected one of {', '.join(_ADAPTERS)}")
    if "name" in table:
        raise InvalidInput(f"{where} name: remove it, the name of the table is the name of the source")
    fields = settings_file.with_secrets(table, _SECRETS, path, name)
    fields.pop("adapter", None)
    for sub in _TARGET_TABLES:
        if isinstance(fields.get(sub), dict):
            fields[sub] = settings_file.with_secrets(fields[sub], _SECRETS, path, f"{name}.{sub}")
    try:
        return _ADAPTERS[adapter].model_validate({**fields, "name": name})
    except ValidationError as error:
        field, reason = first_error(error)
        raise InvalidInput(f"{where} {field}: {reason}") from None
