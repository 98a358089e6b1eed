"""Names of columns: `--map FIELD=COLUMN+COLUMN,…`, and the usual names in exports, in English and Portuguese."""

import csv
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final
from unicodedata import category

from triagem.contracts.errors import InvalidInput
from triagem.contracts.unicode_form import normalized

# Names as by `folded_name`, in order of preference. `essential_name` finds `Número do chamado` as `numero`.
SUBJECT: Final = (
    "subject", "assunto", "title", "titulo", "ticket name", "nome do ticket", "nome do tiquete", "summary", "resumo",
    "short description",
)  # fmt: skip
BODY: Final = (
    "text", "texto", "body", "corpo", "message", "mensagem", "description", "descricao", "content", "conteudo",
    "comment", "comentario", "solicitacao", "descricao acao", "message body", "comment body", "first message",
    "primeira mensagem", "mensagem cliente", "message text", "texto mensagem", "article body", "details", "detalhes",
    "relato", "reclamacao", "manifestacao", "observacoes",
)  # fmt: skip
EXTERNAL_ID: Final = (
    "external id", "issue key", "chave da item", "id", "ticket", "protocolo", "chamado", "no", "number", "numero",
    "nr", "identificador", "codigo", "cod", "cd", "uuid", "display id", "key", "chave", "id hug me",
)  # fmt: skip
_OBJECTS: Final = (
    "a", "o", "de", "da", "do", "the", "of", "ticket", "tiquete", "chamado", "caso", "case", "conversation",
    "conversa", "issue", "request", "item", "record", "registro", "reclamacao", "protocolo", "problema", "ds", "tx",
)  # fmt: skip
EMPTY: Final = (None, "", "NULL", r"\N")  # the last two are MySQL's
_MAX_NAME_CHARS: Final = 40
_MAX_NAMES: Final = 20
_SIMILARITY: Final = 0.85  # `texts` is similar to `text`; `message` is not similar to `message_id`
_OUTSIDE: Final = r'(?=(?:[^"]*"[^"]*")*[^"]*\Z)'  # of quotes: an even number of them follows


def parse_map(given: str, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Parse `field=column+column,…` to field → columns; a column with `,` or `+` in its name stands in double quotes.

    Raises InvalidInput: a part is not `field=column`, or the file has no such column.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    for part in filter(str.strip, re.split(f",{_OUTSIDE}", given)):
        field, equals, value = map(str.strip, part.partition("="))
        if not equals:
            raise InvalidInput(f"--map {part!r}: expected field=column")
        names = [_unquoted(name.strip()) for name in re.split(rf"\+{_OUTSIDE}", value)]
        if field in chosen:
            both = "+".join((*chosen[field], *names))
            raise InvalidInput(f"--map gives {field} twice: join its columns, as in {field}={both}")
        chosen[field] = () if names == [""] else tuple(names)
    for field, required in chosen.items():
        if missing := [column for column in required if column not in columns]:
            meant = f"; did you mean {missing[0]}={field}?" if field in columns else ""
            raise InvalidInput(
                f"--map {field}={'+'.join(required)}: the file has no column {missing[0]!r}, only "
                f"{', '.join(map(short_name, columns))}{meant}"
            )
    return chosen


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if re.fullmatch('"(?:[^"]|"")*"', name) else name


def usual_text(columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that usually hold a message: subject and body, else `prompt`."""
    body = find_column(columns, BODY)
    return find_column(columns, SUBJECT) + body if body else find_column(columns, ("prompt",))


def find_column(columns: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The column that has the earliest of these folded names; empty if there is none."""
    return find_columns(columns, names)[:1]


def find_columns(columns: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The columns with these folded or essential names, in the order of the names."""
    by_name = {form(column): column for form in (essential_name, folded_name) for column in reversed(columns)}
    return tuple(dict.fromkeys(by_name[name] for name in names if name in by_name))


def joined(values: Sequence[Any]) -> Any:
    """One value unchanged, or several values as lines without the empty ones."""
    if len(values) == 1 and (not values[0] or values[0] not in EMPTY):
        return values[0]
    return "\n".join(str(value) for value in values if value not in EMPTY)


def short_name(column: str) -> str:
    """A column name for a message, hidden if long: without a header, the first line holds a customer's text."""
    return column if len(column) <= _MAX_NAME_CHARS else f"({len(column)} characters)"


def similar_fields(columns: Sequence[str], fields: Sequence[str]) -> dict[str, str]:
    """Column → the field whose name it probably misspells."""
    by_name = {folded_name(field): field for field in fields}
    near = {column: get_close_matches(folded_name(column), by_name, 1, _SIMILARITY) for column in columns}
    return {column: by_name[names[0]] for column, names in near.items() if names}


def describe_ignored(columns: Sequence[str], fields: Sequence[str]) -> str:
    """`ignored columns: canal, txt (did you mean text?)`; empty if there are none. `fields`: as `similar_fields`."""
    similar = similar_fields(columns, fields)
    first = sorted(columns, key=lambda column: column not in similar)[:_MAX_NAMES]
    names = [
        short_name(column) + (f" (did you mean {similar[column]}?)" if column in similar else "") for column in first
    ]
    more = f" and {len(columns) - _MAX_NAMES:,} more" if len(columns) > _MAX_NAMES else ""
    return f"ignored columns: {', '.join(names)}{more}" if names else ""


@lru_cache(maxsize=256)  # each list of usual names is compared with each column
def folded_name(column: str) -> str:
    """A column name in lower case, without accents, with single spaces for other characters."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column)  # ticketId
    letters = (char for char in normalized("NFKD", words.casefold()) if category(char) != "Mn")
    return " ".join(re.sub(r"[^a-z0-9]+", " ", "".join(letters)).split())


def essential_name(column: str) -> str:
    """The folded name without `(UTC)` or such, and without words such as `do chamado` if others remain."""
    folded = folded_name(re.sub(r"\([^()]*\)", " ", column)) or folded_name(column)
    return " ".join(word for word in dict.fromkeys(folded.split()) if word not in _OBJECTS) or folded


def quoted_column(field: str, column: str) -> str:
    """The part of `--map` that maps this column to `field`, quoted for any name; empty without a column."""
    return ',{}="{}"'.format(field, column.replace('"', '""')) if column else ""


def parse_label_map(given: str) -> dict[str, str]:
    """Parse `Comercial=venda,N1=suporte` to value → label; a value with a comma stands in double quotes.

    Raises InvalidInput: a part is not `value=label`.
    """
    labels = {}
    for part in next(csv.reader([given], skipinitialspace=True), []):
        value, _, label = part.rpartition("=")
        if not value.strip() or not label.strip():
            raise InvalidInput(f"--label-map {part!r}: expected value=label, such as Comercial=venda,N1=suporte")
        labels[value.strip().casefold()] = label.strip()
    return labels


def mapped_label(value: object, labels: Mapping[str, str]) -> str | None:
    """The label of a cell: its value, or the label that `labels` has for it; None if there is none."""
    text = "" if value is None else str(value).strip()
    return labels.get(text.casefold()) if labels else text or None
