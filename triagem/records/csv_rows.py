"""Parses CSV; a damaged row affects no other row. The separator is the one that fits the first rows best.

Titles above the header are skipped if only one of the first rows can be the header. If none can, lines with one cell
are titles if all rows below have the same number of cells.

A record may span lines inside quotes. If its quotes never close, or close where no cell ends, its first line is the
damaged row and reading continues with the next line.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from triagem.contracts.errors import InvalidInput

SEPARATORS: Final = (";", ",", "\t", "|")
# A ticket's text has at most 100,000 characters; a longer open quote is damage.
MAX_RECORD_CHARS: Final = 256 * 1024
_MAX_CELL_CHARS: Final = 8 * 1024 * 1024
_SAMPLE_LINES: Final = 200
_MAX_LINES_ABOVE: Final = 20
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(\\t|.)"?\s*', re.IGNORECASE)
_OPEN: Final = "unexpected end of data"


@dataclass(frozen=True, slots=True)
class CsvRow:
    """The cells of a record, as many as the header has, or its problem. `width`: the number of cells in the file."""

    line: int
    cells: list[str]
    raw: str
    problem: str = ""
    width: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A header and its rows, which are read lazily. `header` is its line as it is, `above` the lines above it."""

    columns: list[str]
    separator: str
    rows: Iterator[CsvRow]
    header: str
    above: Sequence[str] = ()


def separator_line(line: str) -> str | None:
    """The separator that Excel's first line `sep=;` declares."""
    match = _SEPARATOR_LINE.fullmatch(line.rstrip("\r\n"))
    return match[1].replace(r"\t", "\t") if match else None


def read_csv(
    lines: Iterable[str],
    start: int,
    *,
    separator: str | None,
    name: str,
    is_header: Callable[[Sequence[str]], bool],
) -> Table:
    """Read a header and rows; `start` is the number of the first line. Raises InvalidInput if the header is not CSV.

    The header is the first row, or else the only one of the first rows whose cells `is_header` accepts.
    """
    csv.field_size_limit(_MAX_CELL_CHARS)
    lines = iter(lines)
    sample = list(islice(lines, _SAMPLE_LINES))

    above = _lines_above(sample, separator, is_header)
    chosen = separator or best_separator(sample[above:])
    source = _Lines(chain(sample[above:], lines), start + above)
    header = _record(source, chosen, None)
    if header.problem:
        raise InvalidInput(f"{name}: the header is {header.problem}")
    columns = _columns(header)
    return Table(columns, chosen, _rows(source, chosen, len(columns)), header.raw, sample[:above])


def _lines_above(sample: list[str], separator: str | None, is_header: Callable[[Sequence[str]], bool]) -> int:
    """The number of lines above the header: 0 if the first row is a header, or more than one of the next ones."""

    def fits(above: int) -> bool:
        lines = sample[above:]
        return is_header(_columns(_record(_Lines(iter(lines), 1), separator or best_separator(lines), None)))

    if fits(0):
        return 0
    headers = [above for above in range(1, min(len(sample), _MAX_LINES_ABOVE + 1)) if fits(above)]
    return headers[0] if len(headers) == 1 else 0 if headers else _titles(sample, separator)


def _titles(sample: list[str], separator: str | None) -> int:
    """The number of lines with one cell, if all rows below have the same number of cells; else 0."""
    for above in range(min(len(sample), _MAX_LINES_ABOVE + 1)):
        lines = sample[above:]
        chosen = separator or best_separator(lines)
        rows = [row for row in _rows(_Lines(iter(lines), 1), chosen, None) if not row.problem]
        if rows and sum(map(bool, _columns(rows[0]))) > 1:
            return above if len(rows) > 1 and len({len(row.cells) for row in rows}) == 1 else 0
    return 0


def _columns(header: CsvRow) -> list[str]:
    columns = [column.strip() for column in header.cells]
    while len(columns) > 1 and not columns[-1]:
        columns.pop()
    return columns


def best_separator(lines: list[str]) -> str:
    """The separator that gives the most rows the header's number of columns; if equal, the one with most columns."""
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
    """The next record. Missing cells of a one-line row are added, and surplus empty cells removed, to get `width`."""
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
    width_in_file = len(cells)
    if not problem and width is not None:
        cells, problem = _fitted(cells, width, whole=len(taken) == 1)
    if problem:
        if problem == _OPEN or len(taken) > 1:
            problem = "not CSV (a quote is not closed)"
        source.put_back(taken[1:])
        taken = taken[:1]
    return CsvRow(number, cells, "".join(taken), problem, width_in_file)


def _parse(text: str, separator: str) -> tuple[list[str], str]:
    """The cells of one record in the first form that fits, or the problem with it."""
    problems: list[str] = []
    for form, options in _forms(text, re.escape(separator)):
        if _OPEN in problems and "escapechar" not in options:
            break
        try:
            return next(csv.reader([form], delimiter=separator, strict=True, **options), []), ""
        except csv.Error as error:
            problems.append(str(error))
    return [], _OPEN if _OPEN in problems else f"not CSV ({problems[0]})"


def _forms(text: str, separator: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A record and options to read it with: `, "a"` is a quoted cell, `\\"` in a cell is read where `""` fails."""
    trimmed = re.sub(rf'" +(?={separator}|[\r\n]*\Z)', '"', text) if '" ' in text else text
    for blank in (True, False) if ' "' in text and re.search(rf'(?:\A|{separator}) +"', text) else (False,):
        yield trimmed if blank else text, {"skipinitialspace": blank}
        if '\\"' in text:
            yield text, {"skipinitialspace": blank, "doublequote": False, "escapechar": "\\"}
    if trimmed != text:
        yield trimmed, {}


def _fitted(cells: list[str], width: int, *, whole: bool) -> tuple[list[str], str]:
    """The cells without empty cells beyond `width`; where a one-line row has too few, empty cells are added."""
    if not cells or len(cells) == width:
        return cells, ""
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        return cells[:width], ""
    if whole and 1 < len(cells) < width:
        return [*cells, *[""] * (width - len(cells))], ""
    count = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
    return [], f"{count}, the header has {width}"
