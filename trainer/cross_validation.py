"""Cross-validation plan: which rows calibrate the model, out of fold where there are too few to hold out.

Pure, except that finished folds are stored in a folder. `triagem.trainer.temperature_scaling` and
`triagem.trainer.thresholds` use the predictions.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from triagem.trainer.data import Row
from triagem.trainer.near_duplicates import duplicate_groups
from triagem.trainer.parent import Parent
from triagem.trainer.report import CalibrationSource
from triagem.trainer.settings import TrainSettings
from triagem.trainer.split import DataSplit
from triagem.trainer.temperature_scaling import MIN_ROWS, Floats

NEVER_HELD_OUT: Final = -1  # the fold of a row that every fold model trains on and none predicts


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """The rows that the version trains on, and the rows that calibrate it.

    `calibration_rows` were either kept out of training, or are rows of `train` that the model of their fold predicts.
    `folds` has a fold number for each row of `train`, and is empty if nothing is predicted out of fold.
    """

    train: tuple[Row, ...]
    calibration_rows: tuple[Row, ...]
    folds: tuple[int, ...]
    source: CalibrationSource


def plan_calibration(parts: DataSplit, settings: TrainSettings, parent: Parent | None = None) -> CalibrationPlan:
    """Use the calibration part if there is one. Otherwise plan folds, or use the dev rows if folds are disabled.

    The dev rows chose the checkpoint, so the model looks slightly too good on them; but holding out others would cost
    a small training set rows that it needs more. Rows that the parent learned are excluded: it is more confident on
    them than on any customer's message.
    """
    train = parts.train

    def unseen(rows: Sequence[Row]) -> tuple[Row, ...]:
        return tuple(row for row in rows if not (parent and parent.has_learned(row.text)))

    if parts.calibration or settings.folds < 2:
        rows = unseen(parts.calibration or parts.dev)
        source: CalibrationSource = "held-out" if parts.calibration else "dev"
        return CalibrationPlan(train, rows, (), source if rows else "none")
    if len(rows := unseen(train)) >= MIN_ROWS:
        numbers = iter(fold_numbers(rows, settings.folds, settings.seed))
        folds = tuple(NEVER_HELD_OUT if parent and parent.has_learned(row.text) else next(numbers) for row in train)
        if len(set(folds) - {NEVER_HELD_OUT}) > 1:
            return CalibrationPlan(train, rows, folds, "out-of-fold")
    return CalibrationPlan(train, (), (), "none")


def fold_numbers(rows: Sequence[Row], folds: int, seed: int) -> list[int]:
    """A number from 0 to `folds - 1` for each row: near-duplicates share one, and each label is spread evenly.

    There are fewer folds if a label has fewer rows than `folds`; all numbers are 0 if a label has a single row.
    """
    labels = [row.label for row in rows]
    numbers = np.zeros(len(rows), dtype=np.intp)
    if (folds := min([folds, *Counter(labels).values()])) > 1:
        splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
        groups = duplicate_groups([row.text for row in rows])
        for number, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
            numbers[held_out] = number
    return [int(number) for number in numbers]


def out_of_fold_probabilities(
    folds: Sequence[int],
    predict_fold: Callable[[int, Path], Sequence[Sequence[float]]],
    work: Path,
) -> Floats:
    """`[rows][labels]`: each held-out row's probabilities, by a model trained on the rows of the other folds.

    A finished fold is stored in `work` and not repeated after an interruption.

    Args:
        folds: each row's fold number.
        predict_fold: trains on all rows except a fold's, in a folder of its own, and predicts that fold's rows in
            order.
        work: a folder that is the same for every attempt.
    """
    probabilities: dict[int, Sequence[float]] = {}
    for fold in sorted(set(folds) - {NEVER_HELD_OUT}):
        held_out = [index for index, number in enumerate(folds) if number == fold]
        stored, folder = work / f"fold-{fold}.json", work / f"fold-{fold}"
        if not stored.exists():
            folder.mkdir(exist_ok=True)
            partial = stored.with_suffix(".partial")
            partial.write_text(json.dumps(predict_fold(fold, folder)), encoding="utf-8")
            partial.replace(stored)
        shutil.rmtree(folder, ignore_errors=True)
        probabilities.update(zip(held_out, json.loads(stored.read_bytes()), strict=True))
    return np.asarray([probabilities[index] for index in sorted(probabilities)], dtype=np.float64)
