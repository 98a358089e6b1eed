"""Trains on a few rows with `triagem train`'s own code, and compares temperatures on 200 other training rows.

`python docs/measurements/few_rows.py DATA BASE ROWS SEED` prints the best temperature, and NLL and ECE at some
temperatures. Only texts of 3 to 8 words are used, so that a training, which has 200 steps, takes a minute or two.
"""

import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.builders import manifest
from tests.support.training import Steps
from triagem.trainer.data.near_duplicates import distinct_rows
from triagem.trainer.data.rows import load
from triagem.trainer.evaluate.calibration import apply_temperature, calibration_metrics, fit_temperature
from triagem.trainer.fit.cross_validation import CalibrationPlan
from triagem.trainer.fit.training_run import TrainingRun, label_indices, probabilities_of
from triagem.trainer.settings import TrainSettings

TEMPERATURES, TEST_ROWS = (1.0, 1.5, 2.0, 3.0), 200


def main(data: Path, base: str, number: int, seed: int) -> None:
    """Print a line."""
    corpus, settings = load(data), TrainSettings(base=base, folds=0, seed=seed)
    short = [row for row in corpus.train if 3 <= len(row.text.split()) <= 8]
    rows = [short[index] for index in distinct_rows(short)]
    random.Random(seed).shuffle(rows)
    train, test = tuple(rows[:number]), rows[-TEST_ROWS:]
    plan = CalibrationPlan(train, (), (), "none")
    run = TrainingRun(manifest(labels=corpus.labels), plan, (), settings, None, Steps(), cores=1)
    with TemporaryDirectory() as model_folder, TemporaryDirectory() as checkpoints:
        model, _ = run.train_model(Path(model_folder), Path(checkpoints))
        probabilities = probabilities_of(model, test)
    truth = label_indices(model, test)
    best = fit_temperature(probabilities, truth)
    figures = []
    for temperature in (*TEMPERATURES, best):
        nll, ece = calibration_metrics(apply_temperature(probabilities, temperature), truth)
        figures.append(f"{temperature:.2f}: {nll:.3f}/{ece:.3f}")
    accuracy = (probabilities.argmax(axis=1) == truth).mean()
    print(f"{base}, {number} rows, seed {seed}: accuracy {accuracy:.3f}; NLL/ECE at {', '.join(figures)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
