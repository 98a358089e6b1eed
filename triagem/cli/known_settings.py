"""Finds all settings in the source: for the reference pages, `triagem doctor`, and reports of misspelt variables.

This module parses the source instead of importing it: a settings class may need an extra that is not installed.
"""

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

from pydantic import ValidationError

import triagem
from triagem.contracts.errors import TriagemError
from triagem.process import SECRET_FILE, describe_invalid

_PREFIX: Final = "TRIAGEM_"
# Variables that no settings class reads: docker-compose.yml (also through `.env`), benchmarks and `make release` do.
_OTHER: Final = frozenset(
    f"{_PREFIX}{name}"
    for name in ("BIND", "PORT", "TAG", "DATA", "PROMETHEUS_PORT", "GRAFANA_PORT", "BENCH_BROKER", "DIST")
)


@dataclass(frozen=True, slots=True)
class SettingsClass:
    """A pydantic settings class: its place in the source, and the environment variable of each field."""

    module: str
    name: str
    variables: Mapping[str, str]


@cache
def settings_classes() -> tuple[SettingsClass, ...]:
    """All settings classes of the package, by module."""
    return tuple(
        declared for module, source in sorted(_sources()) for declared in _classes(module, ast.parse(source))
    )


def _sources() -> Iterator[tuple[str, str]]:
    (root,) = map(Path, triagem.__path__)
    for folder, _, files in os.walk(root, followlinks=True):  # in a clone, four packages are symbolic links
        for file in (Path(folder, name) for name in files if name.endswith(".py")):
            source = file.read_text(encoding="utf-8")
            if "Settings, used_by=" in source:
                yield ".".join(("triagem", *file.relative_to(root).with_suffix("").parts)), source


def _classes(module: str, tree: ast.Module) -> Iterator[SettingsClass]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Settings") for base in node.bases):
            fields = {
                item.target.id: ast.unparse(item.annotation)
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            }
            prefix = next(
                (ast.literal_eval(item.value) for item in node.keywords if item.arg == "env_prefix"), _PREFIX
            )
            variables = {
                field: f"{prefix}{field}".upper()
                for field, annotation in fields.items()
                if not annotation.startswith("ClassVar") and not annotation.endswith("Settings")
            }
            yield SettingsClass(module, node.name, variables)


def known_variables() -> frozenset[str]:
    """Names of all environment variables that are read, with the `_FILE` variants of secrets."""
    names = {variable for declared in settings_classes() for variable in declared.variables.values()} | _OTHER
    return frozenset(names | {f"{name}_FILE" for name in names if SECRET_FILE.fullmatch(f"{name}_FILE")})


def unknown_variables(names: Iterable[str]) -> dict[str, str | None]:
    """The `TRIAGEM_*` variables among `names` that no code reads, each with the most similar known name."""
    variables = {name for name in names if name.upper().startswith(_PREFIX)}
    if not variables:
        return {}
    known = known_variables()
    suffixes = [name.removeprefix(_PREFIX) for name in sorted(known - _OTHER)]
    nearest = {}
    for name in sorted(name for name in variables if name.upper() not in known):
        matches = get_close_matches(name.upper().removeprefix(_PREFIX), suffixes, n=1)
        nearest[name] = _PREFIX + matches[0] if matches else None
    return nearest


def variables_set() -> list[str]:
    """Names of the variables in the environment and in `.env`."""
    from dotenv import dotenv_values

    return sorted({*os.environ, *dotenv_values(".env")})


def describe_unknown(name: str, nearest: str | None) -> str:
    """A one-line warning about a variable that no code reads."""
    hint = f"did you mean {nearest}?" if nearest else "docs/reference/settings.md lists all settings"
    return f"{name} is not a setting and has no effect: {hint}"


def invalid_values(names: Iterable[str]) -> list[str]:
    """A line for each of these variables whose value no process would accept.

    Imports only the settings classes that read one of them; one whose extra is not installed is skipped.
    """
    given, lines = {name.upper() for name in names}, dict[str, None]()
    for declared in settings_classes():
        if given.isdisjoint(declared.variables.values()):
            continue
        try:
            getattr(import_module(declared.module), declared.name)()
        except ValidationError as error:
            lines |= dict.fromkeys(describe_invalid(error))
        except TriagemError as error:
            lines[str(error)] = None
        except ModuleNotFoundError:
            continue
    return list(lines)
