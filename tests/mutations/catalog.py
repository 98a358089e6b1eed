"""The mutations in `mutations.toml`: the source text, its replacement, and the tests that fail with it."""

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
CATALOG: Final = Path(__file__).with_name("mutations.toml")
_SOURCE: Final = frozenset({".py", ".lua", ".sql"})


@dataclass(frozen=True, slots=True)
class Mutation:
    """One fault.

    `old` occurs exactly once in the whole package tree, so that it is still found after a refactoring moves it.
    `where` is only a label: the folder of the source when the mutation was written. `rule` is the
    rule of docs/reference/rules.md that the fault breaks, if any.
    """

    name: str
    where: str
    old: str
    new: str
    tests: tuple[str, ...]
    rule: int | None = None


def mutations() -> list[Mutation]:
    """All mutations, in the order of the file."""
    tables = tomllib.loads(CATALOG.read_text(encoding="utf-8"))["mutation"]
    return [Mutation(**{**table, "tests": tuple(table["tests"])}) for table in tables]


def sources(root: Path) -> dict[Path, str]:
    """The package's source files with their text, including those behind links to folders at the root."""
    folders = os.walk(root / "triagem", followlinks=True)
    files = (Path(folder, name) for folder, _, names in folders for name in names)
    return {file: file.read_text(encoding="utf-8") for file in sorted(files) if file.suffix in _SOURCE}


def occurrences(texts: dict[Path, str], mutation: Mutation) -> Iterator[Path]:
    """The files that contain the mutation's source text, once per occurrence."""
    for file, text in texts.items():
        yield from [file] * text.count(mutation.old)


def plant(root: Path, mutation: Mutation) -> tuple[Path, str]:
    """Write the fault into the copy at `root`; returns the file and its original text."""
    texts = sources(root)
    (file,) = occurrences(texts, mutation)
    file.write_text(texts[file].replace(mutation.old, mutation.new), encoding="utf-8")
    return file, texts[file]
