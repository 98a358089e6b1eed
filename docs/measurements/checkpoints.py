"""Compares two checkpoint choices, the first of the best on dev and the last, on the rows of every fold.

`python docs/measurements/checkpoints.py DATA_DIR`, about ten minutes on two cores for 3,000 short rows.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from triagem.trainer.data.near_duplicates import fold_numbers
from triagem.trainer.data.rows import Row, load
from triagem.trainer.evaluate.baseline import baseline
from triagem.trainer.evaluate.metrics import Floats, compute_metrics
from triagem.trainer.evaluate.report import TrainingProgress
from triagem.trainer.fit.finetune import finetune
from triagem.trainer.fit.schedule import fit_schedule
from triagem.trainer.settings import TrainSettings

FOLDS, DEV_FOLDS, BATCH = 4, 10, 64


class NoProgress(TrainingProgress):
    """Ignores progress."""

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        pass


def probabilities_of(folder: Path, tokenizer: Any, rows: list[Row]) -> Floats:
    """Probabilities `[rows][labels]` from a checkpoint's weights, fp32."""
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batches = []
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            texts = [row.text for row in rows[start : start + BATCH]]
            batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
            batches.append(torch.softmax(network(**batch).logits.double(), dim=-1).numpy())
    return np.concatenate(batches)


def main(folder: Path) -> None:
    """Print a line for each choice."""
    corpus = load(folder)
    rows, labels, settings = list(corpus.train), corpus.labels, TrainSettings()
    folds = np.asarray(fold_numbers(rows, FOLDS, settings.seed))
    predictions = {name: np.zeros((len(rows), len(labels))) for name in ("first of the best", "last", "TF-IDF")}
    for fold in range(FOLDS):
        held_out = [row for row, number in zip(rows, folds, strict=True) if number == fold]
        others = [row for row, number in zip(rows, folds, strict=True) if number != fold]
        parts = fold_numbers(others, DEV_FOLDS, settings.seed)
        train = [row for row, part in zip(others, parts, strict=True) if part]
        dev = [row for row, part in zip(others, parts, strict=True) if not part]
        predictions["TF-IDF"][folds == fold] = baseline(others, held_out, labels)
        with TemporaryDirectory() as folder_name:
            work = Path(folder_name)
            schedule = fit_schedule(len(train), settings, cores=2)
            tuned = finetune(
                train,
                dev,
                labels,
                settings=settings,
                schedule=schedule,
                folder=work / "kept",
                checkpoints=work,
                progress=NoProgress(),
            )
            accuracies = [
                (point.step, point.dev_accuracy) for point in tuned.curves if point.dev_accuracy is not None
            ]
            best = max(accuracies, key=lambda logged: (logged[1], -logged[0]))[0]
            print(f"fold {fold}: dev accuracies {accuracies}, the first best at {best}", flush=True)
            tokenizer = AutoTokenizer.from_pretrained(work / "kept")
            for name, step in (("first of the best", best), ("last", schedule.steps)):
                predictions[name][folds == fold] = probabilities_of(work / f"checkpoint-{step}", tokenizer, held_out)
    truth = np.asarray([labels.index(row.label) for row in rows])
    for name, predicted in predictions.items():
        metrics = compute_metrics(truth, predicted)
        wrong, nll = int((predicted.argmax(axis=1) != truth).sum()), metrics["nll"][0]
        print(f"{name}: macro-F1 {metrics['macro_f1'][0]:.4f}, {wrong} of {len(rows)} wrong, NLL {nll:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
