"""Parses CSV so that a damaged row costs that row only. The separator is the one that fits the first rows best.

A record may span lines inside quotes. If its quotes never close, or close where no cell ends, its first line is the
damaged row and reading goes on with the next line.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from triagem.contracts.errors import InvalidInput

SEPARATORS: Final = (";", ",", "\t", "|")
# A ticket's text has at most 100,000 characters; a longer open quote is damage.
MAX_RECORD_CHARS: Final = 256 * 1024
_MAX_CELL_CHARS: Final = 8 * 1024 * 1024
_SAMPLE_LINES: Final = 200
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(\\t|.)"?\s*', re.IGNORECASE)
_OPEN: Final = "unexpected end of data"


@dataclass(frozen=True, slots=True)
class CsvRow:
    """The cells of a record, as many as the header has, or the problem with it."""

    line: int
    cells: list[str]
    raw: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A header and its rows, which are read lazily. `header` is its line as it is."""

    columns: list[str]
    separator: str
    rows: Iterator[CsvRow]
    header: str


def separator_line(line: str) -> str | None:
    """The separator that Excel's first line `sep=;` declares."""
    match = _SEPARATOR_LINE.fullmatch(line.rstrip("\r\n"))
    return match[1].replace(r"\t", "\t") if match else None


def read_csv(lines: Iterable[str], start: int, *, separator: str | None, name: str) -> Table:
    """Read a header and rows; `start` is the header's line. Raises InvalidInput if the header is not CSV."""
    csv.field_size_limit(_MAX_CELL_CHARS)
    lines = iter(lines)
    sample = list(islice(lines, _SAMPLE_LINES))
    chosen = separator or best_separator(sample)
    source = _Lines(chain(sample, lines), start)
    header = _record(source, chosen, None)
    if header.problem:
        raise InvalidInput(f"{name}: the header is {header.problem}")
    columns = [column.strip() for column in header.cells]
    while len(columns) > 1 and not columns[-1]:
        columns.pop()
    return Table(columns, chosen, _rows(source, chosen, len(columns)), header.raw)


def best_separator(lines: list[str]) -> str:
    """The separator that gives the most rows the header's number of columns; of equal ones, the most columns."""
    scores = {}
    for separator in SEPARATORS:
        source = _Lines(iter(lines), 1)
        header = _record(source, separator, None)
        width = len(header.cells)
        rows = _rows(source, separator, None)
        fitting = sum(len(row.cells) >= width and not any(row.cells[width:]) for row in rows) if width > 1 else -1
        scores[separator] = (fitting, width)
    return max(SEPARATORS, key=scores.__getitem__)


class _Lines:
    """Lines that can be put back, with the number of the next one."""

    def __init__(self, lines: Iterator[str], start: int) -> None:
        self._lines = lines
        self._back: list[str] = []
        self.number = start

    def take(self) -> str | None:
        line = self._back.pop() if self._back else next(self._lines, None)
        self.number += line is not None
        return line

    def put_back(self, lines: list[str]) -> None:
        self._back.extend(reversed(lines))
        self.number -= len(lines)


def _rows(source: _Lines, separator: str, width: int | None) -> Iterator[CsvRow]:
    while True:
        row = _record(source, separator, width)
        if not row.raw:
            return
        if row.problem or any(cell.strip() for cell in row.cells):
            yield row


def _record(source: _Lines, separator: str, width: int | None) -> CsvRow:
    """The next record. Its cells are filled up or cut to `width` where only empty cells are missing or too many."""
    number = source.number
    first = source.take()
    if first is None:
        return CsvRow(number, [], "")
    taken, size = [first], len(first)
    cells, problem = _parse(first, separator)
    quotes, quoted = first.count('"'), 0
    while problem == _OPEN and size <= MAX_RECORD_CHARS and (line := source.take()) is not None:
        taken.append(line)
        size += len(line)
        if count := line.count('"'):
            quotes, quoted = quotes + count, quoted + 1
            if quotes % 2 == 0 or quoted.bit_count() == 1:  # only then may it be closed, or a damage be seen early
                cells, problem = _parse("".join(taken), separator)
    if not problem and width is not None:
        cells, problem = _fitted(cells, width, whole=len(taken) == 1)
    if problem:
        if problem == _OPEN or len(taken) > 1:
            problem = "not CSV (a quote is not closed)"
        source.put_back(taken[1:])
        taken = taken[:1]
    return CsvRow(number, cells, "".join(taken), problem)


def _parse(text: str, separator: str) -> tuple[list[str], str]:
    """The cells of one record, or the problem with it. `\\"` inside a cell is read where `""` fails."""
    try:
        return next(csv.reader([text], delimiter=separator, strict=True), []), ""
    except csv.Error as error:
        problem = str(error)
    if '\\"' in text:
        try:
            reader = csv.reader([text], delimiter=separator, strict=True, doublequote=False, escapechar="\\")
            return next(reader, []), ""
        except csv.Error as error:
            problem = _OPEN if str(error) == _OPEN else problem
    return [], problem if problem == _OPEN else f"not CSV ({problem})"


def _fitted(cells: list[str], width: int, *, whole: bool) -> tuple[list[str], str]:
    """The cells without empty ones beyond `width`, and with empty ones for those that a one-line row lacks."""
    if not cells or len(cells) == width:
        return cells, ""
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        return cells[:width], ""
    if whole and 1 < len(cells) < width:
        return [*cells, *[""] * (width - len(cells))], ""
    return [], f"{len(cells)} columns, the header has {width}"
