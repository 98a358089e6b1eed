"""Maps the columns of an export to ticket fields: `--map`, and usual column names in English and Portuguese."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from triagem.contracts.errors import InvalidInput, InvalidTicket
from triagem.records.columns import (
    EMPTY,
    EXTERNAL_ID,
    find_column,
    find_columns,
    folded_name,
    joined,
    parse_map,
    short_name,
    usual_text,
)  # fmt: skip

FIELDS: Final = ("source", "external_id", "message_id", "author", "text", "revised_at", "metadata")
_METADATA: Final = "metadata."
_REQUIRED: Final = ("external_id", "text")

# Usual column names in exports, as in `triagem.records.columns`; for fields without `--map`.
_USUAL: Final[Mapping[str, Sequence[str]]] = {
    "source": ("source", "origem"),
    "external_id": EXTERNAL_ID,
    "revised_at": (
        "revised at", "message created at", "comment created at", "message date", "sent at", "enviado em",
        "updated at", "updated", "last updated", "last updated time", "last update time", "modified time",
        "last modified", "last modified date", "atualizado em", "atualizado", "ultima atualizacao",
        "data ultima atualizacao", "data atualizacao", "modificado em", "created at", "created", "created date",
        "create date", "date created", "creation date", "created time", "created on", "opened at",
        "date time opened", "opened date", "opened", "requested", "criado em", "criado", "criacao", "aberto em",
        "data criacao", "dt criacao", "data hora criacao", "hora criacao", "data abertura", "dt abertura",
        "data hora abertura", "abertura", "solicitado em", "data solicitacao", "data registro", "data conversao",
        "data hora", "data", "date", "timestamp", "started at", "iniciado em", "data inicio",
    ),
    "message_id": ("message id", "id da mensagem"),
    "author": (
        "message author type", "author type", "sender type", "tipo autor", "author", "autor", "direction", "direcao",
    ),
    "metadata": ("metadata",),
}  # fmt: skip
_DATES: Final = ("data", "date", "dt")
_CLOCKS: Final = ("hora", "horario", "hr", "time")
_NO_TIME: Final = frozenset({"", "-", "null", "none", "nan", "nat", "n/a", r"\n", "0000-00-00 00:00:00"})
_AUTHORS: Final[Mapping[str, Sequence[str]]] = {
    "customer": (
        "customer", "client", "cliente", "contact", "contato", "end user", "user", "lead", "visitor", "visitante",
        "requester", "incoming", "inbound",
    ),
    "agent": (
        "agent", "agente", "atendente", "analista", "operator", "operador", "admin", "staff", "outgoing", "outbound",
    ),
    "bot": ("bot", "robo", "system", "sistema", "automation", "automacao"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldMap:
    """Ticket field → its columns, joined by a newline (subject, then body).

    `given` is the `--map` option; a field without columns is not read. Other fields are found by their usual column
    names, separately in each row: a JSON record may have a field that the first record lacks, and if a time is empty,
    the next usual column (created at) is used. `columns` holds given and found columns, as far as the file's columns
    are known.
    """

    columns: Mapping[str, tuple[str, ...]]
    given: Mapping[str, tuple[str, ...]]

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The ticket fields of a row. Without a message id, it is a whole text without an author.

        Raises:
            InvalidTicket: a required field's columns are all missing in this row.
        """
        fields: dict[str, Any] = {}
        for field, columns in {**self.columns, **_usual_columns(tuple(row), frozenset(self.given))}.items():
            values = [row[column] for column in columns if column in row]
            if not values:
                if field in _REQUIRED:
                    raise InvalidTicket(field, f"no {' or '.join(map(repr, columns))} in this row")
                continue
            value = joined(values)
            if field == "revised_at" and _is_no_time(value) and field not in self.given:
                usual = find_columns(tuple(row), _USUAL[field])
                value = next((row[column] for column in usual if not _is_no_time(row[column])), None)
            if field.startswith(_METADATA):
                fields.setdefault("metadata", {})[field.removeprefix(_METADATA)] = value
            elif field == "revised_at" and _is_no_time(value):
                continue
            elif field in _REQUIRED or value not in EMPTY:
                fields[field] = value
        author = fields.pop("author", None)
        if "message_id" in fields and author is not None:
            fields["author"] = _author(author)
        return fields

    def ignored(self, columns: Sequence[str]) -> list[str]:
        """The columns of a row that no field reads."""
        mapped = {**self.columns, **_usual_columns(tuple(columns), frozenset(self.given))}
        read = {column for names in mapped.values() for column in names}
        return [column for column in columns if column not in read]


def _is_no_time(value: object) -> bool:
    return str(value).strip().lower() in _NO_TIME


def _author(value: object) -> object:
    """The author that a usual word names; other values unchanged, so that validation rejects them."""
    folded = folded_name(str(value))
    return next((author for author, words in _AUTHORS.items() if folded in words), value)


def field_map(columns: Sequence[str], given: str | None) -> FieldMap:
    """The mapping for a file with these columns: `given`, and the usual column names for the other fields.

    Raises:
        InvalidInput: a part is not `field=column`, a field is unknown, the file lacks a column, or a column that is
            needed occurs twice.
    """
    chosen = parse_map(given or "", columns)
    for field, names in chosen.items():
        shown = f"--map {field}={'+'.join(names)!s}"
        if field not in FIELDS and not (field.startswith(_METADATA) and field != _METADATA):
            raise InvalidInput(f"{shown}: unknown field, use one of {', '.join(FIELDS)} or metadata.NAME")
        if not names and field in _REQUIRED:
            raise InvalidInput(f"{shown}: expected field=column")
    if "author" in chosen and not chosen.get("message_id"):
        raise InvalidInput("--map author=…: give message_id=… too, the message that the author wrote")
    metadata_keys = any(field.startswith(_METADATA) for field in chosen)
    if metadata_keys and "metadata" in chosen:
        raise InvalidInput("--map: use metadata or metadata.NAME, not both")
    mapped = {**_usual_columns(tuple(columns), frozenset(chosen)), **chosen}
    if "message_id" not in mapped:
        mapped.pop("author", None)
    for field, column in ((field, column) for field, names in mapped.items() for column in names):
        form = str if field in chosen else folded_name
        alike = [other for other in columns if form(other) == form(column)]
        if len(alike) > 1:
            called = " or ".join(dict.fromkeys(map(repr, alike)))
            raise InvalidInput(f"{len(alike)} columns are called {called}: rename one in the file")
    ordered = sorted(mapped, key=lambda field: FIELDS.index(field.partition(".")[0]))
    return FieldMap({field: mapped[field] for field in ordered if mapped[field]}, chosen)


def require_columns(mapping: FieldMap, columns: Sequence[str]) -> None:
    """Raise InvalidInput if a table has no column for a required field."""
    if missing := [field for field in _REQUIRED if field not in mapping.columns]:
        named = ",".join(f"{field}=COLUMN" for field in missing)
        raise InvalidInput(
            f"no column for {' and '.join(missing)} found: the file has {', '.join(map(short_name, columns))}; "
            f"if this is not a header, add one; else name {'it' if len(missing) == 1 else 'them'} with --map {named}"
        )


def is_header(columns: Sequence[str], given: str | None) -> bool:
    """Whether these cells can be a table's header: they hold the required fields."""
    try:
        require_columns(field_map(columns, given), columns)
    except InvalidInput:
        return False
    return True


@functools.lru_cache(maxsize=1024)  # rows share their columns; without the cache, a fifth of reading a row
def _usual_columns(columns: tuple[str, ...], given: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
    """Fields that `--map` does not give and whose usual columns are present."""
    metadata_keys = any(field.startswith(_METADATA) for field in given)
    mapped = {field: find_column(columns, names) for field, names in _USUAL.items()}
    mapped["text"] = usual_text(columns)
    for date in mapped["revised_at"]:  # `Data de abertura` and `Hora de abertura`
        word, _, event = folded_name(date).partition(" ")
        if word in _DATES:
            mapped["revised_at"] += find_column(columns, [f"{clock} {event}".strip() for clock in _CLOCKS])
    return {
        field: names
        for field, names in mapped.items()
        if names and field not in given and not (field == "metadata" and metadata_keys)
    }
