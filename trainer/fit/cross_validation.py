"""Plans the calibration rows of a training: held-out rows, or out-of-fold predictions if there are too few rows.

Pure, except that finished folds are stored in a folder. `triagem.trainer.evaluate.calibration` uses the predictions.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Final

import numpy as np

from triagem.trainer.data.near_duplicates import MIN_TEXTS, distinct_rows, fold_numbers
from triagem.trainer.data.prepare import Parent
from triagem.trainer.data.rows import Corpus, Row
from triagem.trainer.evaluate.metrics import Floats
from triagem.trainer.evaluate.report import CalibrationSource
from triagem.trainer.settings import TrainSettings

NEVER_HELD_OUT: Final = -1  # the fold number of a row that all fold models train on and no fold model predicts


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """The rows that train the version, and the rows that calibrate it.

    `calibration_rows` are either held out, or rows of `train` that are predicted by the model of their fold. `folds`
    has a fold number for each row of `train`, and is empty if nothing is predicted out of fold.
    """

    train: tuple[Row, ...]
    calibration_rows: tuple[Row, ...]
    folds: tuple[int, ...]
    source: CalibrationSource


def plan_calibration(parts: Corpus, settings: TrainSettings, parent: Parent | None = None) -> CalibrationPlan:
    """Use the calibration part if there is one. Otherwise plan folds, or use the dev rows if folds are disabled.

    The dev rows were used to choose the checkpoint, so the model looks slightly too good on them. But a small
    training set cannot spare further held-out rows. Rows that the parent was trained on are excluded: the model is
    more confident on them than on customers' messages. Fewer than `MIN_TEXTS` different texts are not used.
    """
    train = parts.train

    def unseen(rows: Sequence[Row]) -> tuple[Row, ...]:
        return tuple(row for row in rows if not (parent and parent.has_learned(row.text)))

    if parts.calibration or settings.folds < 2:
        rows = unseen(parts.calibration or parts.dev)
        source: CalibrationSource = "held-out" if parts.calibration else "dev"
        return CalibrationPlan(train, rows, (), source if rows else "none")
    if len(distinct_rows(rows := unseen(train))) >= MIN_TEXTS:
        numbers = iter(fold_numbers(rows, settings.folds, settings.seed))
        folds = tuple(NEVER_HELD_OUT if parent and parent.has_learned(row.text) else next(numbers) for row in train)
        if len(set(folds) - {NEVER_HELD_OUT}) > 1:
            return CalibrationPlan(train, rows, folds, "out-of-fold")
    return CalibrationPlan(train, (), (), "none")


def fold_notes(plan: CalibrationPlan, folds: int) -> Iterator[str]:
    """Notes if there are fewer folds than `folds`, or no folds, because a label has too few different texts."""
    planned = len(set(plan.folds) - {NEVER_HELD_OUT})
    if plan.source not in {"out-of-fold", "none"} or planned >= folds or folds < 2:
        return
    texts = Counter(plan.train[index].label for index in distinct_rows(plan.train))
    label, number = min(texts.items(), key=itemgetter(1))
    total = sum(texts.values())
    if planned:
        yield f"{planned} folds instead of {folds}: {label} has only {number} different texts"
    elif total < MIN_TEXTS:
        yield f"no folds: {total} different texts, calibration needs {MIN_TEXTS}"
    elif number < 2:
        yield f"no folds, so nothing is calibrated: {label} has a single text; add different texts of it"


def out_of_fold_probabilities(
    folds: Sequence[int],
    predict_fold: Callable[[int, Path], Sequence[Sequence[float]]],
    work: Path,
) -> Floats:
    """Probabilities `[rows][labels]` of each row, by a model trained on the rows of the other folds.

    A finished fold is stored in `work`, so it is not repeated after an interruption.

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
