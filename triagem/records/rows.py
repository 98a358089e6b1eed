"""Reads JSONL and CSV into records with line numbers. A bad line is returned as a value and never stops the
reading."""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Literal

from triagem.contracts.errors import InvalidInput
from triagem.records.columns import short_name
from triagem.records.csv_rows import CsvRow, read_csv, separator_line

FileFormat = Literal["jsonl", "csv"]
_FORMULA: Final = re.compile(r'="([^"]*)"')  # keeps the zeros of ="0012" in a spreadsheet


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its first line in the file, counted from 1, its columns, and its lines as they are.

    `width` is the number of cells that a row of CSV has in the file; 0 for JSON.
    """

    line: int
    columns: Mapping[str, Any]
    raw: str = dataclasses.field(default="", compare=False, repr=False)
    width: int = dataclasses.field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be read as a record, and why. `width` as in `Record`."""

    line: int
    reason: str
    raw: str = dataclasses.field(default="", compare=False, repr=False)
    width: int = dataclasses.field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a file, read lazily.

    `columns` are those of the header, or of the first JSON record. `separator` is None for JSONL. `header` holds the
    lines before the first record as they are. `notes` are for a person.
    """

    columns: list[str]
    records: Iterator[Record | BadLine]
    separator: str | None
    header: str = ""
    notes: tuple[str, ...] = ()


def read_rows(
    lines: Iterable[str],
    *,
    format: FileFormat | None,  # noqa: A002
    name: str,
    is_header: Callable[[Sequence[str]], bool] = lambda _: True,
) -> Rows:
    """Read records lazily.

    Args:
        lines: the file.
        format: None decides by the first line: `{` is JSONL, anything else is CSV.
        name: the file's name in errors.
        is_header: whether these cells can be the header of a CSV file, which may have titles above it.

    Raises:
        InvalidInput: the file is empty or a JSON array, or its header cannot be read.
    """
    numbered = enumerate(lines, 1)
    start, first = next(((number, line) for number, line in numbered if line.strip("\ufeff \t\r\n")), (0, ""))
    if not first:
        raise InvalidInput(f"{name}: the file is empty")
    first = first.removeprefix("\ufeff")
    if format is None:
        if first.lstrip().startswith("[") or first.strip() == "{":
            kind = "array" if first.lstrip().startswith("[") else "object of several lines"
            convert = "jq -c '.[]'" if kind == "array" else "jq -c ."
            raise InvalidInput(
                f"{name} is a JSON {kind}, expected one JSON object a line (JSONL) or CSV: convert it with {convert}"
            )
        format = "jsonl" if first.lstrip().startswith("{") else "csv"  # noqa: A001
    rest = (line for _, line in numbered)
    if format == "jsonl":
        json_lines = enumerate(chain([first], rest), start)
        return _with_columns(_json(line, number) for number, line in json_lines if line.strip())
    declared, before = separator_line(first), ""
    if declared:
        before, (start, first) = first, next(((n, line) for n, line in numbered if line.strip()), (start, ""))
    table = read_csv(chain([first], rest), start, separator=declared, name=name, is_header=is_header)
    if bad := _not_unicode("".join(table.columns)):
        raise InvalidInput(f"{name}: the header is {bad}")
    records = (_csv_record(row, table.columns) for row in table.rows)
    titles = [short_name(title) for line in table.above if (title := line.strip('\r\n\t ,;|"'))]
    above = len(table.above)
    where = f"line {start}" if above == 1 else f"lines {start} to {start + above - 1}"
    notes = (f"skipped above the header, {where}: {', '.join(titles)}",) if above else ()
    return Rows(table.columns, records, table.separator, before + "".join(table.above) + table.header, notes)


def _with_columns(records: Iterator[Record | BadLine]) -> Rows:
    """The columns of the first valid record, and all records."""
    read: list[Record | BadLine] = []
    for record in records:
        read.append(record)
        if isinstance(record, Record):
            return Rows(list(record.columns), chain(read, records), None)
    return Rows([], iter(read), None)


def _json(line: str, number: int) -> Record | BadLine:
    if bad := _not_unicode(line):
        return BadLine(number, bad, line)
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:  # or a number with thousands of digits, or deep nesting
        place = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        return BadLine(number, f"not valid JSON{place}", line)
    if not isinstance(record, dict):
        return BadLine(number, "not a JSON object", line)
    if bad := _not_unicode("".join(record)):  # an escape such as \ud800
        return BadLine(number, bad, line)
    return Record(number, record, line)


def _csv_record(row: CsvRow, columns: list[str]) -> Record | BadLine:
    if row.problem:
        return BadLine(row.line, row.problem, row.raw, row.width)
    if bad := _not_unicode(row.raw):
        return BadLine(row.line, bad, row.raw)
    cells = [match[1] if (match := _FORMULA.fullmatch(cell)) else cell for cell in row.cells]
    if [cell.strip("\ufeff ") for cell in cells] == columns:  # files that were joined
        return BadLine(row.line, "repeats the header", row.raw)
    return Record(row.line, dict(zip(columns, cells, strict=True)), row.raw, row.width)


def _not_unicode(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    return None
