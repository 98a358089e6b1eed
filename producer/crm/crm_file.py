"""`TRIAGEM_CRM_FILE`: a TOML file with a table a source, and the hosts that requests may go to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import complaint
from triagem.outgoing import settings_file
from triagem.outgoing.hosts import check_url
from triagem.producer.crm.settings import ChatwootSource, FreshdeskSource, GenericSource, Source, ZendeskSource

_ADAPTERS: Final[Mapping[str, type[Source]]] = {
    "zendesk": ZendeskSource,
    "chatwoot": ChatwootSource,
    "freshdesk": FreshdeskSource,
    "generic": GenericSource,
}
# Tables of a source that say where its results go.
_BACK: Final = ("callback", "tags", "labels")
_SECRETS: Final = ("secret", "token")


@dataclass(frozen=True, slots=True)
class Crm:
    """The file's content: sources by name, and the hosts that requests may go to."""

    sources: Mapping[str, Source]
    allowed_hosts: tuple[str, ...] = ()

    @property
    def targets(self) -> dict[str, str]:
        """Where results go, as `shop.callback`, and the source whose they are."""
        return {
            f"{name}.{table}": name
            for name, source in self.sources.items()
            for table in _BACK
            if getattr(source, table, None)
        }


class CrmSettings(BaseSettings):
    """Where the file is."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    crm_file: Path | None = None


def from_environment() -> Crm:
    """What `TRIAGEM_CRM_FILE` names; nothing, if it names nothing. Raises InvalidInput as `load` does."""
    path = CrmSettings().crm_file
    return load(path) if path else Crm({})


def load(path: Path) -> Crm:
    """Read the file, and the files that its `secret_file` and `token_file` name.

    Raises:
        InvalidInput: naming the table and the field that is wrong, never what it holds.
    """
    document = settings_file.read(path)
    hosts = document.pop("allowed_hosts", [])
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise InvalidInput(f"{path} allowed_hosts: expected a list of host names")
    crm = Crm({name: _source(name, table, path) for name, table in document.items()}, tuple(hosts))
    for name, source in crm.sources.items():
        for table in _BACK:
            if (back := getattr(source, table, None)) is not None:
                check_url(back.url, crm.allowed_hosts, f"{path} [{name}.{table}] url")
    return crm


def _source(name: str, table: object, path: Path) -> Source:
    where = f"{path} [{name}]"
    if not isinstance(table, dict):
        raise InvalidInput(f"{path} {name}: expected a table, as in [{name}]")
    adapter = table.get("adapter", name)
    if not isinstance(adapter, str) or adapter not in _ADAPTERS:
        raise InvalidInput(f"{where} adapter: expected one of {', '.join(_ADAPTERS)}")
    if "name" in table:
        raise InvalidInput(f"{where} name: the table's own is the source's name")
    fields = settings_file.with_secrets(table, _SECRETS, path, name)
    fields.pop("adapter", None)
    for sub in _BACK:
        if isinstance(fields.get(sub), dict):
            fields[sub] = settings_file.with_secrets(fields[sub], _SECRETS, path, f"{name}.{sub}")
    try:
        return _ADAPTERS[adapter].model_validate({**fields, "name": name})
    except ValidationError as error:
        field, reason = complaint(error)
        raise InvalidInput(f"{where} {field}: {reason}") from None
