"""Which column becomes which field of a ticket: `external_id=id,text=subject+body,metadata.channel=channel`."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from triagem.contracts.errors import InvalidInput, InvalidTicket

FIELDS: Final = ("source", "external_id", "text", "revised_at", "metadata")
_METADATA: Final = "metadata."
_NAME_CHARS: Final = 40
_REQUIRED: Final = frozenset({"external_id", "text"})
_NOTHING: Final = (None, "")

# What exports usually call the fields, tried in this order where no mapping names one.
_USUAL: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "source": (("source",),),
    "external_id": (("external_id",), ("id",), ("ticket_id",)),
    "text": (("text",), ("subject", "body"), ("body",), ("prompt",), ("message",), ("description",)),
    "revised_at": (("revised_at",), ("updated_at",), ("created_at",)),
    "metadata": (("metadata",),),
}


@dataclass(frozen=True, slots=True)
class FieldMap:
    """Ticket field → the columns it is made of, joined by a newline (subject, then body).

    `given` is what `--map` named. The other fields are found by their usual names, in every row anew: JSON records
    may have a field that the first one lacks. `columns` is both, as far as the file's columns are known.
    """

    columns: Mapping[str, tuple[str, ...]]
    given: Mapping[str, tuple[str, ...]]

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row's ticket fields. Numbers become strings where a ticket wants a name: CRMs count their tickets.

        Raises:
            InvalidTicket: a required field's columns are all missing in this row.
        """
        fields: dict[str, Any] = {}
        for field, columns in {**self.columns, **_usual(tuple(row), frozenset(self.given))}.items():
            values = [row[column] for column in columns if column in row]
            if not values:
                if field in _REQUIRED:
                    raise InvalidTicket(field, f"no {' or '.join(map(repr, columns))} in this row")
                continue
            value = values[0] if len(columns) == 1 else "\n".join(str(one) for one in values if one not in _NOTHING)
            if field in {"source", "external_id"} and isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if field.startswith(_METADATA):
                fields.setdefault("metadata", {})[field.removeprefix(_METADATA)] = value
            elif field in _REQUIRED or value not in _NOTHING:
                fields[field] = value
        return fields


def field_map(columns: Sequence[str], given: str | None) -> FieldMap:
    """The mapping for a file with these columns: what was given, and for the other fields the usual names.

    Raises:
        InvalidInput: a part that is not `field=column`, an unknown field, or a column that the file lacks.
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
                f"--map {part!r}: the file has no column {missing[0]!r}, only {', '.join(map(brief, columns))}"
            )
    pieces = any(field.startswith(_METADATA) for field in chosen)
    if pieces and "metadata" in chosen:
        raise InvalidInput("--map: metadata and metadata.NAME exclude each other")
    return FieldMap({**_usual(tuple(columns), frozenset(chosen)), **chosen}, chosen)


def brief(column: str) -> str:
    """A column's name for a message: in a file without a header, the first customer's text stands in its place."""
    return column if len(column) <= _NAME_CHARS else f"({len(column)} characters)"


@functools.lru_cache(maxsize=1024)  # a file's rows have the same columns, and looking was a fifth of reading one
def _usual(columns: tuple[str, ...], given: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
    """The fields that nobody named and whose usual columns are there."""
    found: dict[str, tuple[str, ...]] = {}
    pieces = any(field.startswith(_METADATA) for field in given)
    for field, candidates in _USUAL.items():
        if field in given or (field == "metadata" and pieces):
            continue
        for parts in candidates:
            if all(part in columns for part in parts):
                found[field] = parts
                break
    return found
