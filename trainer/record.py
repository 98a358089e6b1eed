"""What a version's folder keeps for the gate: which rows it saw, and what it said of each test row."""

from collections.abc import Sequence
from pathlib import Path

from contracts.model import PREDICTIONS_FILE, ROWS_FILE, Answer, Rows
from contracts.text import digest
from trainer.data import Row


def keep_rows(folder: Path, *, train: Sequence[Row], dev: Sequence[Row], test: Sequence[Row]) -> None:
    """Write `rows.json`."""
    rows = Rows(train=_digests(train), dev=_digests(dev), calibration=(), test=_digests(test))
    (folder / ROWS_FILE).write_text(rows.model_dump_json() + "\n", encoding="utf-8")


def keep_answers(folder: Path, test: Sequence[Row], probabilities: Sequence[Sequence[float]]) -> None:
    """Write `test_predictions.jsonl`: the probabilities are in the order of the rows and of the model's labels."""
    said = [
        Answer(digest=digest(row.text).hex(), label=row.label, probabilities=tuple(one), lang=row.lang)
        for row, one in zip(test, probabilities, strict=True)
    ]
    lines = "".join(answer.model_dump_json() + "\n" for answer in said)
    (folder / PREDICTIONS_FILE).write_text(lines, encoding="utf-8")


def _digests(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(digest(row.text).hex() for row in rows)
