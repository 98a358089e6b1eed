"""Loads `TRIAGEM_CRM_FILE`: a TOML file with one table per source, and the hosts that requests may go to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError

from triagem import settings_file
from triagem.contracts.errors import InvalidInput
from triagem.contracts.field_errors import first_error
from triagem.notify.crm import CrmTarget
from triagem.notify.hosts import check_url
from triagem.producer.crm.settings import GENERIC, Source, make_source, presets
from triagem.settings import Settings
from triagem.settings_file import ReloadedFile


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


class CrmSettings(Settings, used_by="gateway, ops"):
    """The path of the file."""

    crm_file: Path | None = Field(
        default=None, description="TOML file of the CRMs that send webhooks and receive results"
    )


class CrmFile(ReloadedFile[CrmConfig]):
    """The CRM file of a running process, read again every few seconds. Without a path, `config` is the content."""

    def __init__(self, path: Path | None, config: CrmConfig | None = None, **timing: Any) -> None:
        super().__init__("TRIAGEM_CRM_FILE", path, load_crm_file, config or CrmConfig({}), **timing)

    @classmethod
    def from_environment(cls) -> Self:
        """The file that `TRIAGEM_CRM_FILE` names."""
        return cls(CrmSettings().crm_file)


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
        for table, target in source.destinations.items():
            check_url(target.url, crm.allowed_hosts, f"{path} [{name}.{table}] url")
    return crm


def _source(name: str, table: object, path: Path) -> Source:
    where = f"{path} [{name}]"
    if not isinstance(table, dict):
        raise InvalidInput(f"{path} {name}: expected a table, as in [{name}]")
    if table.get("adapter", name) not in (adapters := [*presets(), GENERIC]):
        hint = 'For a CRM without a preset, set adapter = "generic"'
        raise InvalidInput(f"{where} adapter: expected one of {', '.join(adapters)}. {hint}")
    if "name" in table:
        raise InvalidInput(f"{where} name: remove it, the name of the table is the name of the source")
    try:
        return make_source(name, table)
    except ValidationError as error:
        field, reason = first_error(error)
        if field.endswith("allowed_hosts"):  # in TOML, a line below the header of a table belongs to the table
            reason = "move this line above the first table of the file"
        raise InvalidInput(f"{where} {field}: {reason}") from None
