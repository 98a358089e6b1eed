"""A few steps of training on a few short rows: what tests of the trainer begin with."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trainer import TrainSettings

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
WORDS: Final = 14  # of a text at most: a tiny run is a quick one


@dataclass
class Steps:
    """A caller who remembers what it was told, and stops the training at a step if that is wanted."""

    stop_at: int | None = None
    seen: list[tuple[int, int]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        """Remember; raise KeyboardInterrupt at the step to stop at."""
        self.seen.append((done, total))
        if loss is not None:
            self.losses.append(loss)
        if done == self.stop_at:
            raise KeyboardInterrupt


def write_some(folder: Path, *, train_rows: int, test_rows: int, renamed: dict[str, str] | None = None) -> Path:
    """The first short rows of the sample data, as a data folder of its own.

    Args:
        renamed: a word → the label of the rows that hold it.
    """
    for name, number in (("train.jsonl", train_rows), ("test.jsonl", test_rows)):
        rows = [json.loads(line) for line in (EXAMPLES / name).read_text(encoding="utf-8").splitlines()]
        short = [row for row in rows if len(row["prompt"].split()) <= WORDS][:number]
        for row in short:
            for word, label in (renamed or {}).items():
                if word in row["prompt"].lower():
                    row["completion"] = label
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in short), encoding="utf-8")
    return folder


def a_few_steps(**changes: Any) -> TrainSettings:
    """36 rows in micro-batches of 8, accumulated by 4: two steps an epoch, and a checkpoint at each."""
    return TrainSettings(**{"num_train_epochs": 2, "min_steps": 4, "folds": 0} | changes)
