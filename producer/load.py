"""Loads a file into the inbox: accepts or rejects each record with its line number, and waits while it is full."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from triagem.contracts.errors import InboxFull, InvalidInput, InvalidTicket
from triagem.contracts.ticket import Lane, Ticket, accept
from triagem.producer.publisher import Publisher
from triagem.producer.rows import BadLine, Record

FIELDS: Final = ("source", "external_id", "text", "revised_at", "metadata")
_METADATA: Final = "metadata."
_MAX_NAME_CHARS: Final = 40
_REQUIRED: Final = frozenset({"external_id", "text"})
_EMPTY: Final = (None, "")

# Usual column names in exports, tried in this order for fields that `--map` does not name.
_DEFAULT_COLUMNS: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "source": (("source",),),
    "external_id": (("external_id",), ("id",), ("ticket_id",)),
    "text": (("text",), ("subject", "body"), ("body",), ("prompt",), ("message",), ("description",)),
    "revised_at": (("revised_at",), ("updated_at",), ("created_at",)),
    "metadata": (("metadata",),),
}


@dataclass(frozen=True, slots=True)
class FieldMap:
    """Ticket field → its columns, joined by a newline (subject, then body).

    `given` is the `--map` option. Other fields are found by their usual column names, in every row anew: JSON records
    may have a field that the first one lacks. `columns` holds both, as far as the file's columns are known.
    """

    columns: Mapping[str, tuple[str, ...]]
    given: Mapping[str, tuple[str, ...]]

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The ticket fields of a row. Integer ids become strings: CRMs number their tickets.

        Raises:
            InvalidTicket: a required field's columns are all missing in this row.
        """
        fields: dict[str, Any] = {}
        for field, columns in {**self.columns, **_default_columns(tuple(row), frozenset(self.given))}.items():
            values = [row[column] for column in columns if column in row]
            if not values:
                if field in _REQUIRED:
                    raise InvalidTicket(field, f"no {' or '.join(map(repr, columns))} in this row")
                continue
            value = (
                values[0] if len(columns) == 1 else "\n".join(str(value) for value in values if value not in _EMPTY)
            )
            if field in {"source", "external_id"} and isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if field.startswith(_METADATA):
                fields.setdefault("metadata", {})[field.removeprefix(_METADATA)] = value
            elif field in _REQUIRED or value not in _EMPTY:
                fields[field] = value
        return fields


def field_map(columns: Sequence[str], given: str | None) -> FieldMap:
    """The mapping for a file with these columns: `given`, and the usual column names for the other fields.

    Raises:
        InvalidInput: a part is not `field=column`, a field is unknown, or the file lacks a column.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (given or "").split(",")):
        field, equals, names = (piece.strip() for piece in part.partition("="))
        if not equals or not names:
            raise InvalidInput(f"--map {part!r}: expected field=column")
        if field not in FIELDS and not (field.startswith(_METADATA) and field != _METADATA):
            raise InvalidInput(f"--map {part!r}: unknown field, use one of {', '.join(FIELDS)} or metadata.NAME")
        chosen[field] = tuple(name.strip() for name in names.split("+"))
        if missing := [column for column in chosen[field] if column not in columns]:
            raise InvalidInput(
                f"--map {part!r}: the file has no column {missing[0]!r}, only {', '.join(map(short_name, columns))}"
            )
    metadata_keys = any(field.startswith(_METADATA) for field in chosen)
    if metadata_keys and "metadata" in chosen:
        raise InvalidInput("--map: use metadata or metadata.NAME, not both")
    return FieldMap({**_default_columns(tuple(columns), frozenset(chosen)), **chosen}, chosen)


def short_name(column: str) -> str:
    """A column name for a message, hidden if long: without a header, the first line holds a customer's text."""
    return column if len(column) <= _MAX_NAME_CHARS else f"({len(column)} characters)"


@functools.lru_cache(maxsize=1024)  # rows share their columns; uncached, this was a fifth of reading a row
def _default_columns(columns: tuple[str, ...], given: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
    """Fields not given whose usual columns are present."""
    mapped: dict[str, tuple[str, ...]] = {}
    metadata_keys = any(field.startswith(_METADATA) for field in given)
    for field, candidates in _DEFAULT_COLUMNS.items():
        if field in given or (field == "metadata" and metadata_keys):
            continue
        for parts in candidates:
            if all(part in columns for part in parts):
                mapped[field] = parts
                break
    return mapped


_BATCH: Final = 500
_FULL_PAUSE_S: Final = 0.5


@dataclass(slots=True)
class LoadSummary:
    """Counts of a load: accepted records, rejected lines, and the time spent waiting for a full inbox."""

    accepted: int = 0
    rejected: list[BadLine] = dataclasses.field(default_factory=list)
    waited_s: float = 0.0


def load_records(
    records: Iterator[Record | BadLine],
    mapping: FieldMap,
    publisher: Publisher,
    *,
    lane: Lane,
    source: str | None,
    strict: bool,
    on_progress: Callable[[LoadSummary], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> LoadSummary:
    """Put a file's records into a lane, in batches.

    Args:
        source: the CRM's name for records that carry none.
        strict: stop at the first bad line; the records before it are in the inbox.
        on_progress: called after every batch, and while the inbox is full.

    Raises:
        InvalidInput: a bad line, if strict.
        InboxUnavailable, AccessDenied: Redis does not answer, or rejects the login.
    """
    summary = LoadSummary()
    batch: list[Ticket] = []
    size = min(_BATCH, publisher.capacity(lane))  # a batch above the lane's high-water mark would wait forever

    def put() -> None:
        while batch:
            try:
                publisher.put(batch, lane=lane)
            except InboxFull:
                on_progress(summary)
                sleep(_FULL_PAUSE_S)
                summary.waited_s += _FULL_PAUSE_S
                continue
            summary.accepted += len(batch)
            batch.clear()
        on_progress(summary)

    for record in records:
        ticket = _ticket(record, mapping, source)
        if isinstance(ticket, BadLine):
            if strict:
                put()
                accepted = f"stopped by --strict, {summary.accepted} records before it were accepted"
                raise InvalidInput(f"line {ticket.line}: {ticket.reason} ({accepted})")
            summary.rejected.append(ticket)
            continue
        batch.append(ticket)
        if len(batch) >= size:
            put()
    put()
    return summary


def _ticket(record: Record | BadLine, mapping: FieldMap, source: str | None) -> Ticket | BadLine:
    if isinstance(record, BadLine):
        return record
    try:
        fields = mapping.fields(record.columns)
        if source is not None:
            fields.setdefault("source", source)
        return accept(fields, now=datetime.now(UTC))
    except InvalidTicket as error:
        return BadLine(record.line, str(error))
