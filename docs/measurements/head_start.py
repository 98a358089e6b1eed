"""Compares two starts of the head of base e5: random, or a linear classifier on the frozen encoder.

`TRIAGEM_TRAIN_MIN_STEPS=144 python docs/measurements/head_start.py DATA START [BASE]`, START is `random` or `linear`:
trains on each half of the training rows for 3 epochs and predicts the other half; about four minutes on two cores for
766 short rows.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.support.builders import manifest
from tests.support.training import Steps
from triagem.trainer.data.near_duplicates import fold_numbers
from triagem.trainer.data.rows import load
from triagem.trainer.evaluate.calibration import calibrate
from triagem.trainer.evaluate.metrics import compute_metrics
from triagem.trainer.fit import finetune
from triagem.trainer.fit.base_choice import comparable_languages
from triagem.trainer.fit.cross_validation import CalibrationPlan
from triagem.trainer.fit.training_run import TrainingRun
from triagem.trainer.settings import TrainSettings


def main(data: Path, start: str, base: str = "e5") -> None:
    """Print a line for each language."""
    if start == "random":
        finetune.start_head = lambda *_arguments, **_options: None
    corpus, settings = load(data), TrainSettings(base=base)
    rows, folds = corpus.train, tuple(fold_numbers(corpus.train, 2, 42))
    plan = CalibrationPlan(rows, rows, folds, "out-of-fold")
    run = TrainingRun(manifest(labels=corpus.labels), plan, (), settings, None, Steps(), cores=2)
    with TemporaryDirectory() as work:
        probabilities = run.predict_out_of_fold(Path(work))
    truth = np.asarray([corpus.labels.index(row.label) for row in rows])
    for language, indices in comparable_languages(rows).items():
        metrics = compute_metrics(truth[indices], probabilities[indices])
        calibration = calibrate(probabilities[indices], truth[indices], "out-of-fold")
        wrong = int((probabilities[indices].argmax(axis=1) != truth[indices]).sum())
        print(
            f"{start}, seed {settings.seed}, {language}: macro-F1 {metrics['macro_f1'][0]:.3f}, "
            f"{wrong} of {len(indices)} wrong, {calibration.summary}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
