"""Reads an operator's TOML file and the secret files that it names. Errors never show a file's content."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from triagem.contracts.errors import InvalidInput


class SettingsTable(BaseModel):
    """A table of a file. Unknown fields are errors. Errors never show a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def read(path: Path) -> dict[str, Any]:
    """Read the file's tables. Raises InvalidInput."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path} is not valid TOML: {error}") from None


def with_secrets(table: Mapping[str, Any], secrets: Collection[str], path: Path, name: str) -> dict[str, Any]:
    """The table with `*_file` fields replaced by the files' content: Docker and Kubernetes provide secrets as files.

    Args:
        secrets: fields that may be given as a file.
        path: the TOML file; secret files are relative to its folder.
        name: the table's name.

    Raises:
        InvalidInput: a file cannot be read, or both the field and its `*_file` are given.
    """
    filled = dict(table)
    for key in secrets:
        if (file := filled.pop(f"{key}_file", None)) is None:
            continue
        where = f"{path} [{name}] {key}_file"
        if key in filled:
            raise InvalidInput(f"{where}: give {key} or {key}_file, not both")
        try:
            filled[key] = (path.parent / str(file)).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise InvalidInput(f"{where}: cannot be read ({reason})") from None
    return filled
