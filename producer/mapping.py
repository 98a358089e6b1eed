"""Maps columns of a file to ticket fields: `external_id=id,text=subject+body,metadata.channel=channel`."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from triagem.contracts.errors import InvalidInput, InvalidTicket

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
