"""Which checkpoint to keep: every fold's rows answered by the first of the best on dev, and by the last.

`python docs/measurements/checkpoints.py DATA_DIR`, about ten minutes on two cores for 3,000 short rows.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from triagem.trainer.baseline import baseline
from triagem.trainer.calibrate import Floats
from triagem.trainer.data import Row, load
from triagem.trainer.finetune import finetune
from triagem.trainer.folds import fold_numbers
from triagem.trainer.measures import scores
from triagem.trainer.schedule import fit_schedule
from triagem.trainer.settings import TrainSettings

FOLDS, DEV_FOLDS, BATCH = 4, 10, 64


class Quiet:
    """No progress is shown."""

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        pass


def answers(folder: Path, words: Any, rows: list[Row]) -> Floats:
    """Probabilities `[rows][labels]` by a checkpoint's weights, fp32."""
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    said = []
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            texts = [row.text for row in rows[start : start + BATCH]]
            batch = words(texts, padding=True, truncation=True, return_tensors="pt")
            said.append(torch.softmax(network(**batch).logits.double(), dim=-1).numpy())
    return np.concatenate(said)


def main(folder: Path) -> None:
    """Print a line for each way to choose."""
    corpus = load(folder)
    rows, labels, settings = list(corpus.train), corpus.labels, TrainSettings()
    folds = np.asarray(fold_numbers(rows, FOLDS, settings.seed))
    said = {name: np.zeros((len(rows), len(labels))) for name in ("first of the best", "last", "TF-IDF")}
    for fold in range(FOLDS):
        asked = [row for row, number in zip(rows, folds, strict=True) if number == fold]
        others = [row for row, number in zip(rows, folds, strict=True) if number != fold]
        parts = fold_numbers(others, DEV_FOLDS, settings.seed)
        train = [row for row, part in zip(others, parts, strict=True) if part]
        dev = [row for row, part in zip(others, parts, strict=True) if not part]
        said["TF-IDF"][folds == fold] = baseline(others, asked, labels)
        with TemporaryDirectory() as made:
            work = Path(made)
            schedule = fit_schedule(len(train), settings, cores=2)
            tuned = finetune(
                train,
                dev,
                labels,
                settings=settings,
                schedule=schedule,
                folder=work / "kept",
                checkpoints=work,
                progress=Quiet(),
            )
            told = [(point.step, point.dev_accuracy) for point in tuned.curves if point.dev_accuracy is not None]
            best = max(told, key=lambda one: (one[1], -one[0]))[0]
            print(f"fold {fold}: dev accuracies {told}, the first best at {best}", flush=True)
            words = AutoTokenizer.from_pretrained(work / "kept")
            for name, step in (("first of the best", best), ("last", schedule.steps)):
                said[name][folds == fold] = answers(work / f"checkpoint-{step}", words, asked)
    truth = np.asarray([labels.index(row.label) for row in rows])
    for name, given in said.items():
        figures = scores(truth, given)
        wrong, nll = int((given.argmax(axis=1) != truth).sum()), figures["nll"][0]
        print(f"{name}: macro-F1 {figures['macro_f1'][0]:.4f}, {wrong} of {len(rows)} wrong, NLL {nll:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
