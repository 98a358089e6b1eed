"""Rows to learn from: JSON lines as the seed has them, or CSV; checked line by line, cleaned as in serving. No torch.

Not here: whether the rows are worth learning from, or the score worth believing.
"""

import csv
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, TextIO

from contracts.errors import InvalidInput
from contracts.text import clean

FILES: Final = "train.jsonl and test.jsonl, or train.csv and test.csv"
DEV_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text, clean. `lang` is for evaluation only, empty where the file does not say."""

    text: str
    label: str
    lang: str = ""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a version learns from and is measured on. `digest` is a SHA-256 over the sorted training rows."""

    labels: tuple[str, ...]
    train: tuple[Row, ...]
    test: tuple[Row, ...]
    digest: str


def load(data_dir: Path) -> Corpus:
    """Read `train` and `test`: `.jsonl` with `{"prompt": text, "completion": label}` a line and `lang` if known, or
    `.csv` with these columns.

    Labels are sorted, which gives the seed's `suporte` = 0, `venda` = 1.

    Raises:
        InvalidInput: naming the file, and the line where there is one.
    """
    path, test_path = _find(data_dir, "train"), _find(data_dir, "test")
    train, test = _read(path), _read(test_path)
    count = dict[str, int]()
    for row in train.values():
        count[row.label] = count.get(row.label, 0) + 1
    if len(count) < 2:
        raise InvalidInput(f"{path}: every row is labelled {next(iter(count))!r}, at least two labels are needed")
    for line, row in train.items():
        if count[row.label] < 2:
            raise InvalidInput(f"{path}:{line}: the only row labelled {row.label!r}, at least two are needed")
    for line, row in test.items():
        if row.label not in count:
            raise InvalidInput(f"{test_path}:{line}: no training row has the label {row.label!r}")
    rows = tuple(train.values())
    return Corpus(tuple(sorted(count)), rows, tuple(test.values()), _digest(rows))


def hold_out(rows: Sequence[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """Split off a tenth of each label, at least one row, to choose the checkpoint by: the test must not choose it."""
    rng = random.Random(seed)
    held = set[int]()
    for label in sorted({row.label for row in rows}):
        places = [place for place, row in enumerate(rows) if row.label == label]
        held.update(rng.sample(places, max(1, round(len(places) * DEV_SHARE))))
    kept = [row for place, row in enumerate(rows) if place not in held]
    return kept, [rows[place] for place in sorted(held)]


def _find(data_dir: Path, part: str) -> Path:
    """The part's file: CSV if there is one and no JSON lines, else JSON lines, there or not."""
    jsonl, table = data_dir / f"{part}.jsonl", data_dir / f"{part}.csv"
    return table if table.exists() and not jsonl.exists() else jsonl


def _read(path: Path) -> dict[int, Row]:
    """Line number → row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = {line: _row(record, f"{path}:{line}") for line, record in _records(file, path)}
    except UnicodeDecodeError:
        raise InvalidInput(f"{path}: is not UTF-8, save it as UTF-8") from None
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}; a data folder holds {FILES}") from None
    if not rows:
        raise InvalidInput(f"{path}: has no rows")
    return rows


def _records(file: TextIO, path: Path) -> Iterator[tuple[int, object]]:
    """Line number, and what stands there."""
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
                raise InvalidInput(f"{path}:{number}: is no JSON") from None


def _row(record: object, where: str) -> Row:
    if not isinstance(record, dict):
        raise InvalidInput(f'{where}: is no object, expected {{"prompt": text, "completion": label}}')
    for field in ("prompt", "completion"):
        if field not in record:
            raise InvalidInput(f"{where}: has no {field!r}")
        value = record[field]
        if not isinstance(value, str):
            raise InvalidInput(f"{where}: {field!r} is no text")
        if not clean(value):
            raise InvalidInput(f"{where}: {field!r} is empty")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidInput(f"{where}: {field!r} holds a lone surrogate, half a character") from None
    return Row(clean(record["prompt"]), record["completion"].strip(), str(record.get("lang") or ""))


def _digest(rows: Sequence[Row]) -> str:
    lines = sorted(json.dumps([row.text, row.label], ensure_ascii=False) for row in rows)
    return sha256("\n".join(lines).encode()).hexdigest()
