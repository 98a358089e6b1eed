"""Small trainings for tests: a few steps on a few short rows."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from triagem.trainer import TrainingProgress, TrainSettings
from triagem.trainer.bases.catalogue import MINILM, find_base

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
MAX_WORDS: Final = 14  # per text, to keep the run fast


@dataclass
class Steps(TrainingProgress):
    """Records the progress of a training, and interrupts it at a step if `stop_at` is set."""

    stop_at: int | None = None
    seen: list[tuple[int, int]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    scores: list[tuple[int, str]] = field(default_factory=list)

    def on_notes(self, notes: Sequence[str]) -> None:
        """Record the notes. All must come before the first step."""
        assert not self.seen
        self.notes += notes

    def on_evaluation(self, done: int, total: int, metric: str, value: float) -> None:
        """Record the score's step and name."""
        assert 0 <= value <= 1
        self.scores.append((done, metric))

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        """Record the step; raise KeyboardInterrupt at `stop_at`."""
        self.seen.append((done, total))
        if loss is not None:
            self.losses.append(loss)
        if done == self.stop_at:
            raise KeyboardInterrupt


def write_some(folder: Path, *, train_rows: int, test_rows: int) -> Path:
    """A new data folder with the first short rows of the sample data."""
    for name, number in (("train.jsonl", train_rows), ("test.jsonl", test_rows)):
        lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines(keepends=True)
        short = [line for line in lines if len(json.loads(line)["prompt"].split()) <= MAX_WORDS]
        (folder / name).write_text("".join(short[:number]), encoding="utf-8")
    return folder


def write_made_up(folder: Path, *labels: str, train_rows: int = 60, test_rows: int = 12) -> Path:
    """Write rows that a very small model learns in a few steps: each text names a label, in 9 of 10 the right one."""
    rng = random.Random(42)
    for name, number in (("train.jsonl", train_rows), ("test.jsonl", test_rows)):
        with (folder / name).open("w", encoding="utf-8") as file:
            for index in range(number):
                mentioned = labels[index % len(labels)]
                others = ["".join(rng.choices("abcdefghilmnoprstuv", k=6)) for _ in range(4)]
                true = labels[(index + 1) % len(labels)] if index % 10 == 9 else mentioned
                file.write(
                    json.dumps({"prompt": " ".join([mentioned, *others, mentioned]), "completion": true}) + "\n"
                )
    return folder


def a_few_steps(**changes: Any) -> TrainSettings:
    """Settings for 36 rows in micro-batches of 8, accumulated by 4: two steps per epoch, with a checkpoint at the
    second. (The first step learns nothing, because warm-up starts with a learning rate of 0.)"""
    defaults: dict[str, Any] = {"base": MINILM.name, "num_train_epochs": 4, "min_steps": 8, "folds": 0}
    return TrainSettings(**(defaults | changes))


def tiny_base(folder: Path, *, pooler: bool = True) -> str:
    """An untrained BERT of two narrow layers with the packaged model's tokenizer; it trains in seconds."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(42)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, initializer_range=0.3
    )
    BertModel(config, add_pooling_layer=pooler).save_pretrained(folder)
    AutoTokenizer.from_pretrained(find_base(MINILM.name).path).save_pretrained(folder)
    return str(folder)
