"""Maps the columns of an export to ticket fields: `--map`, and usual column names in English and Portuguese."""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from unicodedata import category

from triagem.contracts.errors import InvalidInput, InvalidTicket
from triagem.contracts.unicode_form import normalized

FIELDS: Final = ("source", "external_id", "message_id", "author", "text", "revised_at", "metadata")
_METADATA: Final = "metadata."
_MAX_NAME_CHARS: Final = 40
_REQUIRED: Final = ("external_id", "text")
_EMPTY: Final = (None, "")
_QUOTED_OR_PLAIN: Final = r'\s*(?:"((?:[^"]|"")*)"|([^,+"]*))\s*'
_COLUMN: Final = re.compile(_QUOTED_OR_PLAIN)
_FIELD: Final = re.compile(r"\s*([^=,]*?)\s*=")

_SUBJECT: Final = ("subject", "assunto", "title", "titulo", "ticket name", "ticket subject", "assunto do chamado")
_BODY: Final = (
    "body", "corpo", "message", "mensagem", "description", "descricao", "content", "conteudo", "comment",
    "comentario", "solicitacao", "ticket description", "descricao da acao", "descricao do chamado",
)  # fmt: skip
# Usual column names in exports, folded as by `_folded`, tried in this order for fields that `--map` does not name.
_USUAL: Final[Mapping[str, Sequence[str]]] = {
    "source": ("source", "origem"),
    "external_id": (
        "external id", "id", "ticket id", "ticket", "ticket number", "case number", "conversation id", "protocolo",
        "numero do protocolo", "chamado", "numero do chamado", "no do chamado", "id do chamado", "id do ticket",
        "numero do ticket", "no do ticket",
        "id da conversa", "numero", "codigo",
    ),
    "revised_at": (
        "revised at", "updated at", "last updated", "last modified", "atualizado em", "ultima atualizacao",
        "data de atualizacao", "created at", "created", "created date", "create date", "creation date",
        "created time", "created on", "opened at", "date time opened", "opened date", "criado em",
        "criado", "criacao", "aberto em", "data de criacao", "data de abertura", "abertura", "data e hora",
        "data hora", "data", "date",
    ),
    "message_id": ("message id", "id da mensagem"),
    "author": ("author", "autor"),
    "metadata": ("metadata",),
}  # fmt: skip
_AUTHORS: Final[Mapping[str, Sequence[str]]] = {
    "customer": ("customer", "client", "cliente", "contact", "contato", "end user", "user", "requester", "incoming"),
    "agent": ("agent", "agente", "atendente", "analista", "operator", "operador", "admin", "staff", "outgoing"),
    "bot": ("bot", "robo", "system", "sistema", "automation", "automacao"),
}


@dataclass(frozen=True, slots=True)
class FieldMap:
    """Ticket field → its columns, joined by a newline (subject, then body).

    `given` is the `--map` option; a field without columns is not read. Other fields are found by their usual column
    names, in every row anew: JSON records may have a field that the first one lacks. `columns` holds both, as far as
    the file's columns are known.
    """

    columns: Mapping[str, tuple[str, ...]]
    given: Mapping[str, tuple[str, ...]]

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The ticket fields of a row.

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
            value = (
                values[0] if len(columns) == 1 else "\n".join(str(value) for value in values if value not in _EMPTY)
            )
            if field.startswith(_METADATA):
                fields.setdefault("metadata", {})[field.removeprefix(_METADATA)] = value
            elif field in _REQUIRED or value not in _EMPTY:
                fields[field] = value
        return _with_message(fields)


def _with_message(fields: dict[str, Any]) -> dict[str, Any]:
    """`message_id` and `author` as the ticket's `message`. A row without a message id is a whole text."""
    message_id, author = fields.pop("message_id", None), fields.pop("author", None)
    if message_id is not None:
        fields["message"] = {"id": message_id} | ({} if author is None else {"author": _author(author)})
    return fields


def _author(value: object) -> object:
    """Usual words for customer, agent and bot; anything else as it is, so that the refusal names the column."""
    folded = _folded(str(value))
    return next((author for author, words in _AUTHORS.items() if folded in words), value)


def field_map(columns: Sequence[str], given: str | None) -> FieldMap:
    """The mapping for a file with these columns: `given`, and the usual column names for the other fields.

    Raises:
        InvalidInput: a part is not `field=column`, a field is unknown, the file lacks a column, or a column that is
            needed occurs twice.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for field, names in _parsed(given or ""):
        shown = f"--map {field}={'+'.join(names)!s}"
        if field not in FIELDS and not (field.startswith(_METADATA) and field != _METADATA):
            raise InvalidInput(f"{shown}: unknown field, use one of {', '.join(FIELDS)} or metadata.NAME")
        if not names and field in _REQUIRED:
            raise InvalidInput(f"{shown}: expected field=column")
        if missing := [column for column in names if column not in columns]:
            raise InvalidInput(
                f"{shown}: the file has no column {missing[0]!r}, only {', '.join(map(short_name, columns))}"
            )
        chosen[field] = names
    if "author" in chosen and not chosen.get("message_id"):
        raise InvalidInput("--map author=…: give message_id=… too, the message that the author wrote")
    metadata_keys = any(field.startswith(_METADATA) for field in chosen)
    if metadata_keys and "metadata" in chosen:
        raise InvalidInput("--map: use metadata or metadata.NAME, not both")
    mapped = {**_usual_columns(tuple(columns), frozenset(chosen)), **chosen}
    if "message_id" not in mapped:
        mapped.pop("author", None)
    used = [column for names in mapped.values() for column in names]
    if twice := [column for column in used if columns.count(column) > 1]:
        raise InvalidInput(f"{columns.count(twice[0])} columns are called {twice[0]!r}: rename one in the file")
    ordered = sorted(mapped, key=lambda field: FIELDS.index(field.partition(".")[0]))
    return FieldMap({field: mapped[field] for field in ordered if mapped[field]}, chosen)


def require_columns(mapping: FieldMap, columns: Sequence[str]) -> None:
    """Raise InvalidInput if a table has no column for a required field."""
    if missing := [field for field in _REQUIRED if field not in mapping.columns]:
        named = ",".join(f"{field}=COLUMN" for field in missing)
        raise InvalidInput(
            f"no column for {' and '.join(missing)} found: the file has {', '.join(map(short_name, columns))}; "
            f"name {'it' if len(missing) == 1 else 'them'} with --map {named}"
        )


def short_name(column: str) -> str:
    """A column name for a message, hidden if long: without a header, the first line holds a customer's text."""
    return column if len(column) <= _MAX_NAME_CHARS else f"({len(column)} characters)"


def _parsed(given: str) -> list[tuple[str, tuple[str, ...]]]:
    """The pairs of `field=column+column,…`; a column with `,` or `+` in its name stands in double quotes."""
    pairs = []
    position = 0
    while position < len(given):
        if given[position] in ", ":
            position += 1
            continue
        start = _FIELD.match(given, position)
        if start is None:
            raise InvalidInput(f"--map {given[position:]!r}: expected field=column")
        position = start.end()
        names = []
        while match := _COLUMN.match(given, position):
            names.append(match[1].replace('""', '"') if match[1] is not None else match[2].strip())
            position = match.end()
            if given[position : position + 1] != "+":
                break
            position += 1
        if given[position : position + 1] not in {",", ""}:
            raise InvalidInput(f"--map {given[position:]!r}: expected a comma after a quoted column name")
        pairs.append((start[1], () if names == [""] else tuple(names)))
    return pairs


@functools.lru_cache(maxsize=1024)  # rows share their columns; uncached, this was a fifth of reading a row
def _usual_columns(columns: tuple[str, ...], given: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
    """Fields not given whose usual columns are present."""
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(_folded(column), column)

    def first(names: Sequence[str]) -> tuple[str, ...]:
        return next(((by_name[name],) for name in names if name in by_name), ())

    metadata_keys = any(field.startswith(_METADATA) for field in given)
    mapped = {field: first(names) for field, names in _USUAL.items()}
    mapped["text"] = (
        first(("text", "texto")) or (first(_BODY) and first(_SUBJECT) + first(_BODY)) or first(("prompt",))
    )
    return {
        field: names
        for field, names in mapped.items()
        if names and field not in given and not (field == "metadata" and metadata_keys)
    }


def _folded(column: str) -> str:
    """A column name in lower case, without accents, with single spaces for other characters."""
    letters = (char for char in normalized("NFKD", column.casefold()) if category(char) != "Mn")
    return " ".join(re.sub(r"[^a-z0-9]+", " ", "".join(letters)).split())
