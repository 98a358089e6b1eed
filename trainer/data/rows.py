"""Reads labelled rows from JSON lines (the original specification's format) or CSV, validated and cleaned. No torch.

Cleaning is the same as in serving. `triagem.trainer.data.audit` judges the rows' quality.
"""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import permutations
from pathlib import Path
from typing import Final

from triagem.contracts.conversation import ConversationMessage, judge
from triagem.contracts.errors import InvalidInput
from triagem.contracts.label_spelling import folded_label
from triagem.contracts.text import clean
from triagem.contracts.ticket import OnReply, language_code
from triagem.contracts.unicode_form import normalized
from triagem.records.columns import find_column
from triagem.records.rows import BadLine, FileFormat, Record, read_rows
from triagem.records.text_file import open_text
from triagem.trainer.data.columns import (
    USUAL,
    LeftOut,
    ReadingRules,
    check_columns,
    check_values,
    compose,
    composed,
    declared_labels,
    describe_columns,
    describe_left_out,
    edit_distance,
    is_header,
    read_messages,
    suggest_label,
    training_cell,
    training_label,
    training_text,
)

FILES: Final = "a train file (.jsonl, .csv or .parquet) and optionally dev, calibration and test files"
# A label is taken for a typo if its count is below this share of the count of a label at most two letters away.
MAX_TYPO_SHARE: Final = 0.05
MAX_TYPO_DISTANCE: Final = 2
UNREQUESTED: Final = "unrequested"  # the stratum of an exported text that was reviewed without a request

_NAMES: Final = {"train": ["train"], "dev": ["dev", "validation"], "calibration": ["calibration"], "test": ["test"]}


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled, cleaned text.

    `lang` is for evaluation only, and empty if unknown. `where` is its file and line. `messages`: the messages of a
    conversation; its text is composed from them. `stratum`: the sampling stratum of a reviewed text; reports never
    quote a reviewed text. `group`: the value of the column to report by. `text_group`: equal for near-duplicates, as
    `triagem.trainer.data.near_duplicates.number_texts` sets it. The last five fields are not compared.
    """

    text: str
    label: str
    lang: str = ""
    where: str = dataclasses.field(default="", compare=False)
    messages: Sequence[ConversationMessage] = dataclasses.field(default=(), compare=False)
    stratum: str = dataclasses.field(default="", compare=False)
    group: str = dataclasses.field(default="", compare=False)
    text_group: int | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def parts(self) -> Sequence[str]:
        """The texts to classify, chosen as in a worker. The label refers to the last text: the present subject."""
        return judge(self.messages, OnReply.CONVERSATION).parts if self.messages else (self.text,)


@dataclass(frozen=True, slots=True)
class Corpus:
    """The rows of a data folder. A part without a file is empty. `labels` are in the order of the model's outputs.

    `notes` are for a person.
    """

    labels: tuple[str, ...]
    train: tuple[Row, ...]
    dev: tuple[Row, ...] = ()
    calibration: tuple[Row, ...] = ()
    test: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()

    def held_out(self) -> dict[str, tuple[Row, ...]]:
        """The held-out parts that have a file, by name."""
        parts = {"dev": self.dev, "calibration": self.calibration, "test": self.test}
        return {part: rows for part, rows in parts.items() if rows}


def load(
    data: Path,
    labels: Sequence[str] = (),
    *,
    known_labels: Sequence[str] = (),
    rules: ReadingRules = USUAL,
) -> Corpus:
    """Read a file of training rows, or a folder with `train` and optionally `dev`, `calibration` and `test` files.

    A `validation` file holds the dev rows. A row has `prompt` (the text) and `completion` (the label), and optionally
    `lang`; `messages` takes the place of `prompt` in a conversation.

    Args:
        labels: the labels in the order of the model's outputs. By default those of the training rows, sorted, which
            gives the original specification's `suporte` = 0, `venda` = 1.
        known_labels: the labels of the version that the training starts from, or of the current one; they keep their
            spelling, which reviews and CRMs use.
        rules: the names of columns, and the rows to leave out. Columns that it does not name are found by their usual
            names.

    Raises:
        InvalidInput: names the file, the line if there is one, and the fix.
    """
    files = _files(data)
    train = files["train"]
    read, column_notes = read_parts(data, rules)
    declared = declared_labels(labels) if labels else ()
    spelling, notes = _spelling([row for rows in read.values() for row in rows], (*known_labels, *declared))
    notes = (*column_notes, *notes, *_markers([row for rows in read.values() for row in rows]))
    parts = {
        part: tuple(dataclasses.replace(row, label=spelling[row.label]) for row in rows)
        for part, rows in read.items()
    }
    known = tuple(spelling[label] for label in declared) or tuple(sorted({row.label for row in parts["train"]}))
    if len(known) < 2:
        reading = "".join(f"; {note}" for note in column_notes if "rows left out" in note)
        raise InvalidInput(f"{train}: every row has the label {known[0]!r}, at least two labels are needed{reading}")
    check_values([row.label for row in parts["train"]], str(train))
    _check_labels([row for rows in parts.values() for row in rows], known, declared=bool(labels))
    if not labels:
        _check_typos(parts["train"], known, known_labels)
    _check_counts(parts["train"], known, train)
    return Corpus(known, **parts, notes=notes)


def read_parts(data: Path, rules: ReadingRules = USUAL) -> tuple[dict[str, tuple[Row, ...]], tuple[str, ...]]:
    """The rows of each part of a data folder, or of a file of training rows, with the labels as written in the file.

    The notes describe columns with non-standard names, and count the rows that were left out.

    Raises InvalidInput.
    """
    files = _files(data)
    read = {part: _read(path, rules) for part, path in files.items()}
    if not read["train"][0]:
        raise InvalidInput(f"{files['train']}: no such file; a data folder holds {FILES}; or name the file itself")
    return {part: rows for part, (rows, _) in read.items()}, tuple(note for _, note in read.values() if note)


def _files(data: Path) -> dict[str, Path]:
    if not data.exists():
        raise InvalidInput(f"{data}: no such file or folder; a data folder holds {FILES}")
    return {"train": data} if data.is_file() else {part: _file(data, part) for part in _NAMES}


def rows_digest(rows: Iterable[Row]) -> str:
    """A SHA-256 over the rows' texts and labels, independent of their order."""
    lines = sorted(json.dumps([row.text, row.label], ensure_ascii=False) for row in rows)
    return sha256("\n".join(lines).encode()).hexdigest()


def _spelling(rows: Sequence[Row], known: Sequence[str]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The label for each spelling in the rows or in `known`, and a note for each label with several spellings.

    Spellings that `folded_label` makes equal are one label. It is spelled as in `known`,
    or else as in most rows.
    """
    count = Counter(row.label for row in rows)
    chosen = {folded_label(label): label for label in known}
    # Of equally frequent spellings, the one with the fewest bytes wins, so without accents; then the lower-case one,
    # which swapcase sorts first.
    for label, _ in sorted(count.items(), key=lambda item: (-item[1], len(item[0].encode()), item[0].swapcase())):
        chosen.setdefault(folded_label(label), composed(label))
    spelling = {label: chosen[folded_label(label)] for label in (*count, *known)}
    others: dict[str, list[str]] = {}
    for label, number in count.most_common():
        if label != spelling[label]:
            others.setdefault(spelling[label], []).append(f"{label!r} ({_rows(number)})")
    return spelling, tuple(f"{label!r} is also written {', '.join(forms)}" for label, forms in others.items())


def _rows(number: int) -> str:
    return f"{number} row" if number == 1 else f"{number:,} rows"


def _markers(rows: Sequence[Row]) -> tuple[str, ...]:
    """Notes on end markers that other tools require in prompts and completions, such as `###` and ` END`."""
    notes = []
    marker, count = Counter(row.text.split()[-1] for row in rows if row.text.split()).most_common(1)[0]
    if 2 * count > len(rows) and len(marker) > 1 and not marker.isalnum() and not re.search(r"\w{3}", marker):
        notes.append(f"{count:,} of {len(rows):,} prompts end in {marker!r}, which no message has: remove it")
    labels = {row.label for row in rows}
    ends = {label.rpartition(" ")[2] for label in labels}
    if len(labels) > 1 and len(ends) == 1 and all(" " in label for label in labels):
        notes.append(f"all labels end in {ends.pop()!r}: if another tool needed it, remove it")
    return tuple(notes)


def _check_typos(rows: Sequence[Row], known: Sequence[str], known_labels: Sequence[str]) -> None:
    """Raise InvalidInput for a rare label close to a frequent one, unless it is one of `known_labels`."""
    count = Counter(row.label for row in rows)
    for rare, frequent in permutations(known, 2):
        if rare in known_labels or count[rare] >= MAX_TYPO_SHARE * count[frequent]:
            continue
        distance = edit_distance(folded_label(rare), folded_label(frequent))
        if distance <= MAX_TYPO_DISTANCE and 2 * distance < min(len(rare), len(frequent)):  # not p1 and p2
            where = next(row.where for row in rows if row.label == rare)
            raise InvalidInput(
                f"{where}: {rare!r} ({_rows(count[rare])}) looks like {frequent!r} ({_rows(count[frequent])}): "
                f"correct it, or declare both with --labels {','.join(known)}"
            )


def _check_labels(rows: Iterable[Row], known: Sequence[str], *, declared: bool) -> None:
    for row in rows:
        if row.label not in known:
            problem = "is not one of the labels" if declared else "is a label that no training row has; they have"
            raise InvalidInput(
                f"{row.where}: {row.label!r} {problem} {', '.join(known)}{suggest_label(row.label, known)}"
            )


def _check_counts(rows: Sequence[Row], known: Sequence[str], path: Path) -> None:
    """Require two rows of each label: one row to train on, and one to choose the checkpoint."""
    count = Counter(row.label for row in rows)
    if absent := next((label for label in known if not count[label]), None):
        raise InvalidInput(f"{path}: no row has the label {absent!r}, at least two are needed")
    problems = [
        f"{row.where}: the only row with the label {row.label!r}, at least two are needed"
        f"{suggest_label(row.label, [label for label in known if label != row.label])}"
        for row in rows
        if count[row.label] < 2
    ]
    if problems:
        raise InvalidInput("; ".join(problems))


def _file(data_dir: Path, part: str) -> Path:
    """The path of the part's file, which may not exist. Raises InvalidInput if there are several."""
    paths = [data_dir / f"{name}.{ending}" for name in _NAMES[part] for ending in ("jsonl", "csv", "parquet")]
    present = [path for path in paths if path.exists()]
    if len(present) > 1:
        raise InvalidInput(f"{' and '.join(map(str, present))} both hold the {part} rows: keep one of them")
    return (present or paths)[0]


def _read(path: Path, rules: ReadingRules) -> tuple[tuple[Row, ...], str]:
    """A part's rows and a description of their columns; both are empty if the part has no file."""
    if not path.exists():
        return (), ""
    with closing(open_text(str(path))) as file:
        form: FileFormat | None = "jsonl" if path.suffix == ".jsonl" else "csv" if path.suffix == ".csv" else None
        header = partial(is_header, rules=rules)
        table = read_rows(file.lines(), format=form, name=str(path), is_header=header)
        check_columns(str(path), table.columns, rules)
        read = [_row(record, path, rules) for record in table.records]
    if problems := [row for row in read if isinstance(row, InvalidInput)]:
        more = f"; rows with a problem: {len(problems):,}" if len(problems) > 1 else ""
        raise InvalidInput(f"{problems[0]}{more}")
    rows = tuple(row for row in read if isinstance(row, Row))
    left_out = describe_left_out([row for row in read if isinstance(row, LeftOut)])
    if not rows:
        raise InvalidInput(f"{path}: has no rows: {left_out}" if left_out else f"{path}: has no rows")
    notes = [*table.notes, describe_columns(table.columns, rules), left_out]
    description = "; ".join(filter(None, notes))
    return rows, f"{path.name}: {description}" if description else ""


def _row(record: Record | BadLine, path: Path, rules: ReadingRules) -> Row | LeftOut | InvalidInput:
    """The row, or why it is left out, or its problem."""
    where = f"{path}:{record.line}"
    if isinstance(record, BadLine):
        return InvalidInput(f"{where}: {record.reason}")
    row, given = record.columns, rules.columns
    try:
        label = training_label(row, rules)
        if isinstance(label, LeftOut):
            return label
        messages = read_messages(training_cell(row, "messages", given))
        text = compose(messages) if messages else clean(training_text(row, "prompt", given))
        lang = str(training_cell(row, "lang", given) or "")
    except InvalidInput as error:
        return InvalidInput(f"{where}: {error}")
    stratum = str(row["stratum"] or UNREQUESTED) if "stratum" in row else ""
    segment = find_column(tuple(row), rules.by)
    group = str(row[segment[0]] or "") if segment else ""
    return Row(text, normalized("NFC", label), language_code(lang) or lang, where, messages, stratum, group)
