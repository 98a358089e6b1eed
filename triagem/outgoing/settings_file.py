"""Reading a TOML file of an operator's, and the files that hold its secrets. Errors never show what one holds."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from triagem.contracts.errors import InvalidInput


def read(path: Path) -> dict[str, Any]:
    """The file's tables. Raises InvalidInput."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'no UTF-8'}") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path} is no TOML: {error}") from None


def with_secrets(table: Mapping[str, Any], secrets: Collection[str], path: Path, name: str) -> dict[str, Any]:
    """The table with its `secret_file` and the like read, as Docker and Kubernetes hand secrets in.

    Args:
        secrets: fields that a file may hold.
        path: of the TOML file, whose folder names are relative to.
        name: the table's.

    Raises:
        InvalidInput: there is no such file, or the field is there too.
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
            why = getattr(error, "strerror", None) or "no UTF-8"
            raise InvalidInput(f"{where}: cannot be read ({why})") from None
    return filled
