"""Surveys a file before it is loaded: decides what only the whole file shows, such as the order of day and month."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from string import punctuation
from typing import Any, Final

from triagem.contracts.errors import InvalidInput, InvalidTicket
from triagem.contracts.moments import DateOrder, DateOrderEvidence, MomentFormat, read_moment
from triagem.contracts.ticket import id_text
from triagem.producer.columns import FieldMap, field_map, is_header, require_columns
from triagem.producer.load import IN_UTC, ReadingRules
from triagem.records.parquet_file import ParquetFile
from triagem.records.rows import BadLine, FileFormat, Record, Rows, read_rows
from triagem.records.text_file import TextFile

_MIN_TIMES: Final = 3  # fewer unreadable times are rejected row by row
_SHOWN: Final = 3  # lines
_MAX_IGNORED: Final = 1000  # bounds the memory for JSON with other columns in each row
_MAX_TEXTS_AS_IDS: Final = 1000  # bounds the memory for files whose ids are words
_FLOAT_ID: Final = re.compile(r"\d+[.,]0")
_TOTAL: Final = re.compile(r"(?:sub)?total(?: geral)?\W*\d*\Z", re.IGNORECASE)
_SCIENTIFIC_ID: Final = re.compile(r"\d+(?:[.,]\d+)?[eE]\+?\d+")


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a first pass over a file: its number of rows, and notes for a person.

    `ignored`: the columns that some row has and no field reads.
    """

    rows: int
    rules: ReadingRules
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TicketFile:
    """A file of tickets after the first pass. `read` reads it again; `first` has its columns and separator."""

    first: Rows
    survey: Survey
    read: Callable[[], Rows]

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for a person, to read before the file is loaded."""
        return self.first.notes + self.survey.notes


def survey_file(
    text: TextFile | ParquetFile,
    *,
    name: str,
    source: str,
    mapping: str | None = None,
    moments: MomentFormat = IN_UTC,
    form: FileFormat | None = None,
) -> TicketFile:
    """Find the columns of a file, and read it once. Raises InvalidInput as `field_map` and `survey` do.

    Args:
        name: the file's name in errors.
        mapping: the `--map` option.
        form: default: decided by the first line.
    """

    def read() -> Rows:
        header = partial(is_header, given=mapping)
        return read_rows(
            text.lines(), format="jsonl" if isinstance(text, ParquetFile) else form, name=name, is_header=header
        )

    first = read()
    fields = field_map(first.columns, mapping)
    if first.separator or isinstance(text, ParquetFile):
        require_columns(fields, first.columns)
    surveyed = survey(first.records, ReadingRules(fields, source, moments))
    if not surveyed.rows:
        raise InvalidInput(f"{name}: the file has a header, but no rows")
    return TicketFile(first, surveyed, read)


def survey(records: Iterator[Record | BadLine], rules: ReadingRules) -> Survey:
    """Read a file once to decide what only the whole file shows: order of day and month, form of the ids.

    Raises:
        InvalidInput: no time can be read, or the order of day and month is not clear. The message names the option
            that helps.
    """
    ids, rows, times, timeless = _Ids(), 0, 0, 0
    evidence, unreadable = DateOrderEvidence(), list[str]()
    cut_rows = _CutRows(rules.mapping.columns.get("text", ()))
    ignored = dict[str, None]()
    columns: tuple[str, ...] = ()
    for record in records:
        rows += 1
        if not isinstance(record, BadLine) and (*record.columns,) != columns and len(ignored) < _MAX_IGNORED:
            columns = (*record.columns,)
            ignored |= dict.fromkeys(rules.mapping.ignored(columns))
        try:
            fields = {} if isinstance(record, BadLine) else rules.mapping.fields(record.columns)
        except InvalidTicket:
            continue
        name = str(id_text(fields.get("external_id") or "")).strip()
        cut_rows.add(record, name)
        if not name:
            continue
        ids.add(record.line, name, fields)
        timeless += "revised_at" not in fields and "text" in fields
        if "revised_at" in fields:
            times += 1
            evidence.add(record.line, fields["revised_at"])
            if len(unreadable) == times - 1 and (reason := _unreadable(fields["revised_at"], rules.moments)):
                unreadable.append(f"line {record.line} {reason}")
    moments = rules.moments
    if times >= _MIN_TIMES and len(unreadable) == times:
        column = "+".join(rules.mapping.columns.get("revised_at", ("revised_at",)))
        raise InvalidInput(
            f"no time in {column!r} can be read ({unreadable[0]}): name its form with --date-format, or leave the "
            "times out with --map revised_at="
        )
    if not moments.order and not moments.pattern:
        try:
            moments = dataclasses.replace(moments, order=evidence.order())
        except ValueError as error:
            raise InvalidInput(f"{error}: give --date-format dmy or --date-format mdy") from None
    decided = dataclasses.replace(rules, moments=moments, whole_ids=ids.whole, cut_lines=cut_rows.lines())
    notes = list(ids.notes(rules.mapping))
    if timeless and "revised_at" in rules.mapping.columns:
        word = "row has" if timeless == 1 else "rows have"
        notes.append(
            f"{timeless:,} {word} no time: the time of the import counts, so such a text is the newest of its ticket"
        )
    return Survey(rows, decided, tuple(notes), (*ignored,))


class _Ids:
    """Counts ids, sources and messages, and finds ids that repeat."""

    def __init__(self) -> None:
        self._named = self._floats = self._scientific = self._messages = 0
        self._seen, self._conversations, self._sources = set[int](), set[int](), set[int]()
        self._repeated: list[int] = []  # the first lines

    def add(self, line: int, name: str, fields: Mapping[str, Any]) -> None:
        """Read the id of a row, and its other fields."""
        source, message = str(fields.get("source", "")), str(fields.get("message_id", ""))
        self._named += 1
        self._floats += _FLOAT_ID.fullmatch(name) is not None
        self._scientific += _SCIENTIFIC_ID.fullmatch(name) is not None
        self._messages += bool(message)
        self._conversations.update([hash((source, name))] if message else [])
        self._sources.update([hash(source)] if source else [])
        self._seen.add(hash((source, name, message)))
        if len(self._seen) + len(self._repeated) < self._named and len(self._repeated) < _SHOWN:
            self._repeated.append(line)

    @property
    def whole(self) -> bool:
        """Whether every id is written like 12.0."""
        return bool(self._floats) and self._floats == self._named

    def notes(self, mapping: FieldMap) -> Iterator[str]:
        """Notes for a person."""
        column = "".join(mapping.columns.get("source", ()))
        if self._sources and column not in {"", "source"}:
            yield (
                f"the source of each row is in the column {column!r} (different values: {len(self._sources):,}): "
                "--map source= leaves it out, if it is not the CRM's name"
            )
        if self._scientific:
            yield (
                f"ids in scientific notation such as 5,00123E+17, which have lost digits: {self._scientific:,}; "
                "format the column as text and export again"
            )
        if self._messages:
            yield f"rows that are messages: {self._messages:,}, of conversations: {len(self._conversations):,}"
            if "author" not in mapping.columns:
                yield "every message counts as the customer's: if agents wrote some, add --map author=COLUMN"
        if repeated := self._named - len(self._seen):
            lines = f"line{'s' * (repeated > 1)} {', '.join(map(str, self._repeated))}{', …' * (repeated > _SHOWN)}"
            yield (
                f"rows: {self._named:,}, different ids: {len(self._seen):,} (repeated: {lines}); of "
                "each ticket only the newest text is classified. If each row is a message, add --map "
                "message_id=COLUMN"
            )


def _unreadable(value: object, moments: MomentFormat) -> str:
    """The reason that a time is not readable in any order of day and month; empty if it is."""
    reason = ""
    for order in (moments.order,) if moments.order else tuple(DateOrder):
        try:
            read_moment(value, dataclasses.replace(moments, order=order))
        except ValueError as error:
            reason = str(error)
        else:
            return ""
    return reason


class _CutRows:
    """Finds rows that an unquoted line break cut into pieces: the next piece has a text in the place of the id.

    Nothing is found if many ids of the file look like texts.
    """

    def __init__(self, text_columns: Sequence[str]) -> None:
        self._text_columns = text_columns
        self._previous: Record | BadLine | None = None
        self._cuts: list[tuple[int, tuple[int, ...]]] = []  # ids needed per text in the place of an id, lines
        self._ids = self._texts = 0
        self._footer = False  # the last row is one cell below a blank line

    def add(self, record: Record | BadLine, name: str) -> None:
        """Read the next row and its id."""
        previous, self._previous, self._footer = self._previous, record, False
        if isinstance(record, BadLine):
            name = record.raw.strip() if record.width == 1 else ""
        elif not any(value for value in record.columns.values() if value != name) or _TOTAL.match(name):
            return  # a line such as "Chamados: 3;;;" or "Total;3;"
        if not name or not record.width:
            return
        if not _looks_like_text(name):
            self._ids += 1
            return
        self._texts += isinstance(record, Record)
        if self._texts <= self._ids + _MAX_TEXTS_AS_IDS:
            self._cuts.append((1 if _is_short(record) else 2, (*self._head(previous), record.line)))
        if isinstance(record, BadLine) and previous is not None:
            self._footer = record.line > previous.line + len(previous.raw.splitlines())

    def lines(self) -> frozenset[int]:
        """The first lines of all pieces."""
        cuts = self._cuts[:-1] if self._footer else self._cuts
        return frozenset(line for ids, cut in cuts if self._ids >= ids * self._texts for line in cut)

    def _head(self, previous: Record | BadLine | None) -> tuple[int, ...]:
        """The row before a piece, if a line break may have cut its text."""
        if not isinstance(previous, Record):
            return ()
        may_be_cut = _is_short(previous) or list(previous.columns)[-1] in self._text_columns
        return (previous.line,) if may_be_cut else ()


def _is_short(record: Record | BadLine) -> bool:
    return isinstance(record, BadLine) or record.width < len(record.columns)


def _looks_like_text(name: str) -> bool:
    """Whether an id consists of words: several with more letters than digits, or one of letters only; no address."""
    if len(name.split()) > 1:
        return sum(map(str.isalpha, name)) > sum(map(str.isdigit, name))
    word = name.strip(punctuation)
    return not word or word.isalpha()
