"""Rows to learn from: the seed's JSONL files, checked line by line, cleaned as in serving. No torch.

Not here: whether the rows are worth learning from, or the score worth believing.
"""

import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import datasets
from datasets.exceptions import DatasetGenerationError

from contracts.errors import InvalidInput
from contracts.text import clean

TRAIN_FILE: Final = "train.jsonl"
TEST_FILE: Final = "test.jsonl"
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
    """Read `train.jsonl` and `test.jsonl`: `{"prompt": text, "completion": label}` a line, `lang` if known.

    Labels are sorted, which gives the seed's `suporte` = 0, `venda` = 1.

    Raises:
        InvalidInput: naming the file, and the line where there is one.
    """
    train, test = _read(data_dir / TRAIN_FILE), _read(data_dir / TEST_FILE)
    count = dict[str, int]()
    for row in train.values():
        count[row.label] = count.get(row.label, 0) + 1
    path = data_dir / TRAIN_FILE
    if len(count) < 2:
        raise InvalidInput(f"{path}: every row is labelled {next(iter(count))!r}, at least two labels are needed")
    for line, row in train.items():
        if count[row.label] < 2:
            raise InvalidInput(f"{path}:{line}: the only row labelled {row.label!r}, at least two are needed")
    for line, row in test.items():
        if row.label not in count:
            raise InvalidInput(f"{data_dir / TEST_FILE}:{line}: no training row has the label {row.label!r}")
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


def _read(path: Path) -> dict[int, Row]:
    """Line number → row."""
    lines = _check(path)
    with tempfile.TemporaryDirectory(prefix="triagem-data-") as cache, _quiet():
        try:
            table = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=cache)
        except DatasetGenerationError as error:
            raise InvalidInput(f"{path}: {error.__cause__ or error}") from error
        texts, labels = table["prompt"][:], table["completion"][:]
        langs = table["lang"][:] if "lang" in table.column_names else [None] * len(texts)
    return {
        line: Row(clean(str(text)), str(label).strip(), str(lang or ""))
        for line, text, label, lang in zip(lines, texts, labels, langs, strict=True)
    }


def _check(path: Path) -> list[int]:
    """The numbers of the lines that hold a row. `datasets` names no line and takes a row without text."""
    lines = list[int]()
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.isspace():
                    continue
                if fault := _fault(line):
                    raise InvalidInput(f"{path}:{number}: {fault}")
                lines.append(number)
    except UnicodeDecodeError:
        raise InvalidInput(f"{path}: is not UTF-8, save it as UTF-8") from None
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}; a data folder holds {TRAIN_FILE} and {TEST_FILE}") from None
    if not lines:
        raise InvalidInput(f"{path}: has no rows")
    return lines


def _fault(line: str) -> str | None:
    """What keeps a line from being a row, or None."""
    try:
        row = json.loads(line)
    except ValueError:
        return "is no JSON"
    if not isinstance(row, dict):
        return 'is no object, expected {"prompt": text, "completion": label}'
    for field in ("prompt", "completion"):
        if field not in row:
            return f"has no {field!r}"
        if not isinstance(row[field], str):
            return f"{field!r} is no text"
        if not clean(row[field]):
            return f"{field!r} is empty"
    return None


def _digest(rows: Sequence[Row]) -> str:
    lines = sorted(json.dumps([row.text, row.label], ensure_ascii=False) for row in rows)
    return sha256("\n".join(lines).encode()).hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and lines that `datasets` writes by itself, whatever was set before."""
    bars, level = datasets.utils.is_progress_bar_enabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()
