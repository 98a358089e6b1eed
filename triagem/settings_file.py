"""Reads an operator's TOML file and the secret files that it names. Errors never show a file's content."""

import time
import tomllib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import structlog
from pydantic import BaseModel, model_validator
from pydantic_core import PydanticCustomError

from triagem.contracts.errors import InvalidInput

log = structlog.get_logger(__name__)
Content = TypeVar("Content")

# Fields that a file may hold instead (`url_file`): Docker and Kubernetes provide secrets as files.
_SECRETS: Final = ("url", "secret", "token", "user", "password")


class SettingsTable(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """A table of a file. Unknown fields are errors. Errors never show a value."""

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, table: Any) -> Any:
        known = {field.alias or name for name, field in cls.model_fields.items()}
        for name in table if isinstance(table, dict) else ():
            unused = known - table.keys()
            if name not in known and (near := get_close_matches(name[:40], unused, n=1)):
                raise PydanticCustomError("misspelt", "did you mean {near}?", {"name": name, "near": near[0]})
        return table


class ReloadedFile(Generic[Content]):
    """A file of a running process. It is read again every few seconds; an error in it does not stop the process.

    Args:
        setting: the variable that names the file.
        path: the file; None if the variable is not set.
        load: reads the file; raises InvalidInput.
        unset: the content if `path` is None.

    Raises:
        InvalidInput: the first read of the file fails.
    """

    def __init__(
        self,
        setting: str,
        path: Path | None,
        load: Callable[[Path], Content],
        unset: Content,
        *,
        every_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.setting, self._path, self._load = setting, path, load
        self._every_s, self._clock = every_s, clock
        try:
            self._content = load(path) if path else unset
        except InvalidInput as error:
            raise InvalidInput(f"{setting}: {error}") from None
        self._read_at = clock()
        self.problem: str | None = None

    def read(self) -> Content:
        """The file's content; while it is invalid, its last valid content, and `problem` says what is wrong."""
        now = self._clock()
        if self._path is None or now < self._read_at + self._every_s:
            return self._content
        self._read_at = now
        try:
            self._content, problem = self._load(self._path), None
        except InvalidInput as error:
            problem = str(error)
        if problem and problem != self.problem:
            hint = "the last valid content stays in use"
            log.error("file_invalid", setting=self.setting, reason=problem, hint=hint)
        elif self.problem and not problem:
            log.info("file_valid", setting=self.setting)
        self.problem = problem
        return self._content


def read(path: Path) -> dict[str, Any]:
    """Read the file's tables, with `*_file` fields of tables and their subtables replaced by the files' content.

    Secret files are relative to the TOML file's folder.

    Raises:
        InvalidInput: a file cannot be read, or both a field and its `*_file` are given.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path} is not valid TOML: {error}") from None
    return {
        name: _with_secrets(table, path, name) if isinstance(table, dict) else table
        for name, table in document.items()
    }


def _with_secrets(table: Mapping[str, Any], path: Path, name: str) -> dict[str, Any]:
    filled = dict(table)
    for key, value in table.items():
        if isinstance(value, dict) and "." not in name:
            filled[key] = _with_secrets(value, path, f"{name}.{key}")
    for key in _SECRETS:
        if (file := filled.pop(f"{key}_file", None)) is None:
            continue
        where = f"{path} [{name}] {key}_file"
        if key in filled:
            raise InvalidInput(f"{where}: give {key} or {key}_file, not both")
        secret = path.parent / str(file)
        try:
            filled[key] = secret.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise InvalidInput(
                f"{where}: cannot read {secret} ({getattr(error, 'strerror', None) or 'not UTF-8'})"
            ) from None
    return filled
