"""Reads JSONL and CSV into records with line numbers. A bad line is a value, so it never stops a file."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from triagem.contracts.errors import InvalidInput

FileFormat = Literal["jsonl", "csv"]

_SEPARATORS: Final = ",;\t|"
_MAX_CELL_CHARS: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its first line in the file, counted from 1, and its columns."""

    line: int
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be read as a record, and why."""

    line: int
    reason: str


def open_text(path: str) -> TextIO:
    """Open a file as text. Bytes that are not UTF-8 become lone surrogates, which `read_rows` reports by line.

    Raises:
        InvalidInput: it does not exist, is a directory, cannot be read, or is UTF-16.
    """
    try:
        raw = Path(path).open("rb")  # noqa: SIM115 - opened only once: a pipe gives its bytes to the first reader
        head = raw.peek(2)[:2]
    except FileNotFoundError:
        raise InvalidInput(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InvalidInput(f"{path} is a directory, expected a JSONL or CSV file") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    if head in {b"\xff\xfe", b"\xfe\xff"}:
        raw.close()
        raise InvalidInput(f"{path} is UTF-16: save it as UTF-8")
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def read_rows(
    lines: Iterable[str],
    *,
    format: FileFormat | None,  # noqa: A002
    name: str,
) -> tuple[list[str], Iterator[Record | BadLine]]:
    """Read records lazily.

    Args:
        lines: the file.
        format: None decides by the first line: `{` is JSONL, anything else is CSV.
        name: the file's name in errors.

    Returns:
        The column names (of a JSONL file: those of its first record), and the records.

    Raises:
        InvalidInput: the file is empty or a JSON array, or its header cannot be read.
    """
    numbered = enumerate(lines, 1)
    start, first = next(((number, line) for number, line in numbered if line.strip("\ufeff \t\r\n")), (0, ""))
    if not first:
        raise InvalidInput(f"{name} is empty")
    first = first.removeprefix("\ufeff")
    if format is None:
        if first.lstrip().startswith("["):
            raise InvalidInput(f"{name} is a JSON array, expected one JSON object a line (JSONL) or CSV")
        format = "jsonl" if first.lstrip().startswith("{") else "csv"  # noqa: A001
    lines = chain([first], (line for _, line in numbered))
    if format == "csv":
        return _csv(lines, start, separator=max(_SEPARATORS, key=first.count), name=name)
    return _with_columns(_jsonl(lines, start))


def _with_columns(records: Iterator[Record | BadLine]) -> tuple[list[str], Iterator[Record | BadLine]]:
    """The columns of the first valid record, and all records."""
    read: list[Record | BadLine] = []
    for record in records:
        read.append(record)
        if isinstance(record, Record):
            return list(record.columns), chain(read, records)
    return [], iter(read)


def _jsonl(lines: Iterable[str], start: int) -> Iterator[Record | BadLine]:
    for number, line in enumerate(lines, start):
        if line.strip():
            yield _json(line, number)


def _json(line: str, number: int) -> Record | BadLine:
    if bad := _not_utf8(line):
        return BadLine(number, bad)
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        return BadLine(number, f"not JSON ({error.msg})")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        return BadLine(number, f"not JSON ({type(error).__name__})")
    if not isinstance(record, dict):
        return BadLine(number, "not a JSON object")
    if bad := _not_utf8("".join(record)):  # an escape such as \ud800
        return BadLine(number, bad)
    return Record(number, record)


def _csv(
    lines: Iterable[str], start: int, *, separator: str, name: str
) -> tuple[list[str], Iterator[Record | BadLine]]:
    csv.field_size_limit(_MAX_CELL_CHARS)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        columns = [column.strip() for column in next(reader)]
    except csv.Error as error:
        raise InvalidInput(f"{name}: the header is not CSV ({error})") from None
    if bad := _not_utf8("".join(columns)):
        raise InvalidInput(f"{name}: the header is {bad}")
    return columns, _csv_rows(reader, start, columns)


def _csv_rows(reader: Any, start: int, columns: list[str]) -> Iterator[Record | BadLine]:
    while True:
        line = start + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadLine(line, f"not CSV ({error})")
            continue
        if not cells:
            continue
        if len(cells) != len(columns):
            yield BadLine(line, f"{len(cells)} columns, the header has {len(columns)}")
        elif bad := _not_utf8("".join(cells)):
            yield BadLine(line, bad)
        else:
            yield Record(line, dict(zip(columns, cells, strict=True)))


def _not_utf8(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    return None
