"""Finds and reads the columns of labelled rows, and compares the spellings of labels. Pure."""

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from triagem.contracts.conversation import ConversationMessage, judge
from triagem.contracts.errors import InvalidInput
from triagem.contracts.field_errors import first_error
from triagem.contracts.label_spelling import folded_label
from triagem.contracts.text import clean
from triagem.contracts.ticket import OnReply
from triagem.contracts.unicode_form import normalized
from triagem.records.columns import (
    EXTERNAL_ID,
    describe_ignored,
    find_column,
    joined,
    mapped_label,
    parse_label_map,
    parse_map,
    short_name,
    usual_text,
)  # fmt: skip
from triagem.trainer.settings import TrainSettings

_MAX_WORDS: Final = 10  # shown of the rows that were left out


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """The columns to read, as in `--map`, and the labels to use.

    `labels`: the labels for the company's own words (`triagem.records.columns.parse_label_map`); rows with other
    words are left out. `own`: labels by ticket that only Triagem has set; rows with these labels are left out. `by`:
    the folded names of a column to report by. `unlabelled`: rows without a label column get an empty label.
    """

    columns: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    by: Sequence[str] = ()
    unlabelled: bool = False


USUAL: Final = ReadingRules()


def reading_rules(settings: TrainSettings, own: Mapping[str, str]) -> ReadingRules:
    """The rules of the settings. `own`: labels by ticket that only Triagem has set. Raises InvalidInput."""
    return ReadingRules(settings.columns, parse_label_map(settings.label_map), own)


FIELDS: Final = ("prompt", "completion", "lang", "messages")
_LABEL: Final = (
    "completion", "label", "categoria", "category", "rotulo", "etiqueta", "classe", "class", "classificacao",
)  # fmt: skip
_MESSAGES: Final = TypeAdapter(list[ConversationMessage])
_EXPECTED: Final = '[{"author": "customer", "text": "…"}, …]'
_LANG: Final = ("lang", "language", "idioma", "lingua")


@functools.lru_cache(maxsize=1024)  # rows share their columns
def training_columns(columns: tuple[str, ...], given: str) -> Mapping[str, tuple[str, ...]]:
    """The columns of each field in a row with these columns. Raises InvalidInput for a wrong `given`, as `--map`."""
    chosen = parse_map(given, columns)
    if unknown := next((field for field in chosen if field not in FIELDS), None):
        raise InvalidInput(f"--map {unknown}=…: unknown field, use {', '.join(FIELDS)}")
    usual = {
        "prompt": find_column(columns, ("prompt",)) or usual_text(columns),
        "completion": find_column(columns, _LABEL),
        "lang": find_column(columns, _LANG),
        "messages": find_column(columns, ("messages",)),
    }
    return usual | chosen


def is_header(columns: Sequence[str], rules: ReadingRules) -> bool:
    """Whether these cells can be a table's header: they name a text and, unless rows may lack it, a label."""
    try:
        names = training_columns(tuple(columns), rules.columns)
    except InvalidInput:
        return False
    return bool(names["prompt"] or names["messages"]) and bool(names["completion"] or rules.unlabelled)


def describe_columns(columns: Sequence[str], rules: ReadingRules) -> str:
    """`prompt = Assunto + Corpo, completion = Categoria; ignored columns: id`; empty if all names are standard."""
    mapped = training_columns(tuple(columns), rules.columns)
    read = {name for names in mapped.values() for name in names} | {*find_column(columns, rules.by)}
    if read == set(columns) and all(names in {(), (field,)} for field, names in mapped.items()):
        return ""
    fields = ", ".join(f"{field} = {' + '.join(map(short_name, names))}" for field, names in mapped.items() if names)
    ignored = describe_ignored([column for column in columns if column not in read], FIELDS)
    return f"{fields}; {ignored}" if ignored else fields


def check_columns(path: str, columns: Sequence[str], rules: ReadingRules) -> None:
    """Raise InvalidInput if a column that is read occurs twice in the header: only one of them would be read."""
    read = [name for names in training_columns(tuple(columns), rules.columns).values() for name in names]
    if repeated := next((name for name in read if columns.count(name) > 1), None):
        raise InvalidInput(f"{path}: the header has the column {repeated!r} twice: rename or delete one of them")


def check_values(labels: Sequence[str], path: str) -> None:
    """Raise InvalidInput if most rows have a label of their own, as in a column of ticket numbers or texts."""
    count = Counter(labels)
    once = sum(number == 1 for number in count.values())
    if once > max(_MAX_WORDS, len(labels) / 2):
        raise InvalidInput(
            f"{path}: the label column has {len(count):,} values in {len(labels):,} rows, {once:,} of them once: it "
            "is not a column of labels; name another with --label-column"
        )


def training_cell(row: Mapping[str, Any], field: str, given: str) -> Any:
    """The field's value in a row, None if the row has no column for it."""
    columns = training_columns(tuple(row), given)[field]
    return joined([row[column] for column in columns]) if columns else None


def training_text(row: Mapping[str, Any], field: str, given: str) -> str:
    """A text that is not empty. Raises InvalidInput."""
    columns = training_columns(tuple(row), given)
    if not columns[field]:
        names = ", ".join(map(short_name, row))
        absent = [name for name in ("prompt", "completion") if not (columns[name] or columns["messages"])]
        missing = absent if field in absent else [field]
        options = ",".join(f"{name}=COLUMN" for name in missing)
        raise InvalidInput(f"has no {', '.join(map(repr, missing))}: its columns are {names}; use --map {options}")
    value = training_cell(row, field, given)
    of_label = field == "completion"
    if not isinstance(value, str | None):
        fix = ": map its values, as in --label-map 0=suporte,1=venda" if of_label else ""
        raise InvalidInput(f"{field!r} is not a string{fix}")
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{field!r} contains a lone surrogate (half a character)") from None
    if not value or not clean(value):
        fix = ": --label-map, as in suporte=suporte,venda=venda, leaves out other values" if of_label else ""
        read = " + ".join(map(short_name, columns[field]))
        raise InvalidInput(f"{field!r}{f' ({read})' if read != field else ''} is empty{fix}")
    return value


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that the rules leave out: the word in its label column, and whether only Triagem set it."""

    word: str
    only_ours: bool


def training_label(row: Mapping[str, Any], rules: ReadingRules) -> str | LeftOut:
    """The row's label, or why the rules leave the row out. Raises InvalidInput."""
    if rules.unlabelled and not training_columns(tuple(row), rules.columns)["completion"]:
        return ""
    if rules.labels:
        word = training_cell(row, "completion", rules.columns)
        label = mapped_label(word, rules.labels)
        if label is None:
            return LeftOut("" if word is None else str(word).strip(), only_ours=False)
    else:
        word = label = training_text(row, "completion", rules.columns)
    ticket = find_column(tuple(row), EXTERNAL_ID) if rules.own else ()
    set_by_us = ticket and rules.own.get(str(row[ticket[0]])) == label
    return LeftOut(str(word).strip(), only_ours=True) if set_by_us else label


def describe_left_out(rows: Sequence[LeftOut]) -> str:
    """The number of the rows for each reason and word, the most frequent words first; empty if there are none."""
    reasons = {False: "their label is not in --label-map", True: "only Triagem set their label"}
    descriptions = []
    for only_ours, reason in reasons.items():
        count = Counter(row.word for row in rows if row.only_ours is only_ours)
        words = [f"{word!r} {number:,}" for word, number in count.most_common(_MAX_WORDS)]
        words += ["…"] if len(count) > _MAX_WORDS else []
        if words:
            descriptions.append(f"rows left out: {count.total():,}, because {reason} ({', '.join(words)})")
    return "; ".join(descriptions)


def read_messages(value: object) -> list[ConversationMessage]:
    """The messages of a cell, a list of `{"author": …, "text": …}` or (in CSV) its JSON; none if the cell is empty.

    Raises:
        InvalidInput: names the message and its problem.
    """
    if not value:
        return []
    try:
        messages = _MESSAGES.validate_python(json.loads(value) if isinstance(value, str) else value)
        "".join(message.text for message in messages).encode()
        return messages
    except ValidationError as error:
        problem = ": ".join(filter(None, first_error(error)))
    except UnicodeEncodeError:
        problem = "a text contains a lone surrogate (half a character)"
    except (ValueError, RecursionError):
        problem = "not JSON"
    raise InvalidInput(f"'messages': {problem}; expected {_EXPECTED}")


def compose(messages: Sequence[ConversationMessage]) -> str:
    """Compose the text that the label of the whole conversation refers to.

    Raises:
        InvalidInput: the customer wrote nothing.
    """
    if text := judge(messages, OnReply.CONVERSATION).text:
        return text
    raise InvalidInput("'messages' has no text of the customer")


def declared_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that `--labels` gives. Raises InvalidInput."""
    declared = tuple(composed(label) for label in labels)
    folded = {folded_label(label) for label in declared}
    if len(declared) < 2 or len(folded) < len(declared) or "" in folded:
        raise InvalidInput(
            f"labels {','.join(labels)!r}: expected at least two different labels, for example suporte,venda"
        )
    return declared


def edit_distance(left: str, right: str) -> int:
    """The fewest insertions, deletions and replacements of letters that turn one into the other (Levenshtein)."""
    previous = list(range(len(right) + 1))
    for number, letter in enumerate(left, start=1):
        line = [number]
        for index, other in enumerate(right):
            line.append(min(previous[index] + (letter != other), previous[index + 1] + 1, line[index] + 1))
        previous = line
    return previous[-1]


def suggest_label(label: str, known: Sequence[str]) -> str:
    """The most similar known label as a question, if there is one."""
    folded = {folded_label(candidate): candidate for candidate in known}
    near = get_close_matches(folded_label(label), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def composed(text: str) -> str:
    """A label's normal form for comparisons."""
    return normalized("NFC", text).strip()  # otherwise the same letter in two Unicode forms would make two labels
