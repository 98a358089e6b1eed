"""Reads labelled rows from JSON lines (the original specification's format) or CSV, validated and cleaned. No torch.

Cleaning is the same as in serving. `triagem.trainer.audit` judges the rows' quality.
"""

import csv
import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Final, TextIO
from unicodedata import normalize

from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import clean

FILES: Final = "train.jsonl or train.csv and optionally dev, calibration and test files, named the same way"


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled, cleaned text.

    `lang` is for evaluation only, and empty if unknown. `where` is its file and line; it is not compared.
    """

    text: str
    label: str
    lang: str = ""
    where: str = dataclasses.field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Corpus:
    """The rows of a data folder. A part without a file is empty. `labels` are in the order of the model's outputs."""

    labels: tuple[str, ...]
    train: tuple[Row, ...]
    dev: tuple[Row, ...] = ()
    calibration: tuple[Row, ...] = ()
    test: tuple[Row, ...] = ()

    def held_out(self) -> dict[str, tuple[Row, ...]]:
        """The held-out parts that have a file, by name."""
        parts = {"dev": self.dev, "calibration": self.calibration, "test": self.test}
        return {part: rows for part, rows in parts.items() if rows}


def load(data_dir: Path, labels: Sequence[str] = ()) -> Corpus:
    """Read `train` and, if they exist, `dev`, `calibration` and `test`.

    A `.jsonl` file has `{"prompt": text, "completion": label}` on each line, and optionally `lang`; a `.csv` file has
    these columns.

    Args:
        labels: the labels in the order of the model's outputs. By default those of the training rows, sorted, which
            gives the original specification's `suporte` = 0, `venda` = 1.

    Raises:
        InvalidInput: names the file, the line if there is one, and the fix.
    """
    train = _file(data_dir, "train")
    parts = {part: _read(_file(data_dir, part)) for part in ("train", "dev", "calibration", "test")}
    if not parts["train"]:
        raise InvalidInput(f"{train}: no such file; a data folder holds {FILES}")
    known = _declared(labels) if labels else tuple(sorted({row.label for row in parts["train"]}))
    if len(known) < 2:
        raise InvalidInput(f"{train}: every row has the label {known[0]!r}, at least two labels are needed")
    _check_labels([row for rows in parts.values() for row in rows], known, declared=bool(labels))
    _check_counts(parts["train"], known, train)
    return Corpus(known, **parts)


def rows_digest(rows: Iterable[Row]) -> str:
    """A SHA-256 over the rows' texts and labels, independent of their order."""
    lines = sorted(json.dumps([row.text, row.label], ensure_ascii=False) for row in rows)
    return sha256("\n".join(lines).encode()).hexdigest()


def _declared(labels: Sequence[str]) -> tuple[str, ...]:
    known = tuple(_label(label) for label in labels)
    if len(known) < 2 or len(set(known)) < len(known) or not all(known):
        raise InvalidInput(
            f"labels {','.join(labels)!r}: expected at least two different labels, for example suporte,venda"
        )
    return known


def _check_labels(rows: Iterable[Row], known: Sequence[str], *, declared: bool) -> None:
    for row in rows:
        if row.label not in known:
            problem = "is not one of the labels" if declared else "is a label that no training row has; they have"
            raise InvalidInput(
                f"{row.where}: {row.label!r} {problem} {', '.join(known)}{_suggestion(row.label, known)}"
            )


def _check_counts(rows: Sequence[Row], known: Sequence[str], path: Path) -> None:
    """Require two rows of each label: one to train on, and one to choose the checkpoint."""
    count = Counter(row.label for row in rows)
    for label in known:
        if not count[label]:
            raise InvalidInput(f"{path}: no row has the label {label!r}, at least two are needed")
    for row in rows:
        if count[row.label] < 2:
            suggestion = _suggestion(row.label, [label for label in known if label != row.label])
            raise InvalidInput(
                f"{row.where}: the only row with the label {row.label!r}, at least two are needed{suggestion}"
            )


def _suggestion(label: str, known: Sequence[str]) -> str:
    """The most similar known label as a question, if there is one."""
    folded = {candidate.casefold(): candidate for candidate in known}
    near = get_close_matches(label.casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def _label(text: str) -> str:
    return normalize("NFC", text).strip()  # otherwise equal letters in two encodings would be two labels


def _file(data_dir: Path, part: str) -> Path:
    """The part's file: the CSV if there is only that, else the JSON lines, whether or not it exists."""
    jsonl, table = data_dir / f"{part}.jsonl", data_dir / f"{part}.csv"
    return table if table.exists() and not jsonl.exists() else jsonl


def _read(path: Path) -> tuple[Row, ...]:
    """A part's rows; empty without a file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = tuple(_row(record, f"{path}:{line}") for line, record in _records(file, path))
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError:
        raise InvalidInput(f"{path}: is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}; a data folder holds {FILES}") from None
    if not rows:
        raise InvalidInput(f"{path}: has no rows")
    return rows


def _records(file: TextIO, path: Path) -> Iterator[tuple[int, object]]:
    """Line numbers and decoded records."""
    if path.suffix == ".csv":
        table = csv.DictReader(file, strict=True)
        try:
            for record in table:
                yield table.line_num, record
        except csv.Error as error:
            raise InvalidInput(f"{path}:{table.line_num}: {error}") from None
        return
    for number, line in enumerate(file, start=1):
        if not line.isspace():
            try:
                yield number, json.loads(line)
            except ValueError:
                raise InvalidInput(f"{path}:{number}: is not JSON") from None


def _row(record: object, where: str) -> Row:
    if not isinstance(record, dict):
        raise InvalidInput(f'{where}: is not an object, expected {{"prompt": text, "completion": label}}')
    for field in ("prompt", "completion"):
        if field not in record:
            raise InvalidInput(f"{where}: has no {field!r}")
        value = record[field]
        if not isinstance(value, str):
            raise InvalidInput(f"{where}: {field!r} is not a string")
        if not clean(value):
            raise InvalidInput(f"{where}: {field!r} is empty")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidInput(f"{where}: {field!r} contains a lone surrogate (half a character)") from None
    return Row(clean(record["prompt"]), _label(record["completion"]), str(record.get("lang") or ""), where)
