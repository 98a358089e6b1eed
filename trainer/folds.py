"""Whom to ask how sure a model may be: rows that it never saw, also where there are few. Pure but for the folder.

Not here: what is made of the answers (`triagem.trainer.calibrate`, `triagem.trainer.thresholds`).
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

from triagem.trainer.calibrate import LEAST_ROWS, Floats
from triagem.trainer.data import Row
from triagem.trainer.inherit import Parent
from triagem.trainer.neighbours import groups
from triagem.trainer.report import Way
from triagem.trainer.settings import TrainSettings
from triagem.trainer.split import Parts

ALWAYS: Final = -1  # the fold of a row that every model learns from and none is asked


@dataclass(frozen=True, slots=True)
class Plan:
    """Which rows the version learns from, and which are asked.

    `asked` are rows that trained nothing, or rows of `train`, each answered by the model of its fold: `folds` has a
    number for each row of `train`, and is empty where nothing is answered out of fold.
    """

    train: tuple[Row, ...]
    asked: tuple[Row, ...]
    folds: tuple[int, ...]
    way: Way


def plan(parts: Parts, settings: TrainSettings, parent: Parent | None = None) -> Plan:
    """Ask the calibration rows there are; without any, plan folds, or ask the dev rows where there are to be none.

    Dev rows chose the checkpoint, so that they flatter it a little; but holding others out would cost a small
    training set rows that it needs more. Rows that the parent learned are not asked: it is surer of them than of any
    customer's message.
    """
    train = parts.train

    def new(rows: Sequence[Row]) -> tuple[Row, ...]:
        return tuple(row for row in rows if not (parent and parent.knows(row.text)))

    if parts.calibration or settings.folds < 2:
        asked = new(parts.calibration or parts.dev)
        way: Way = "held-out" if parts.calibration else "dev"
        return Plan(train, asked, (), way if asked else "none")
    if len(strangers := new(train)) >= LEAST_ROWS:
        numbers = iter(fold_numbers(strangers, settings.folds, settings.seed))
        folds = tuple(ALWAYS if parent and parent.knows(row.text) else next(numbers) for row in train)
        if len(set(folds) - {ALWAYS}) > 1:
            return Plan(train, strangers, folds, "out-of-fold")
    return Plan(train, (), (), "none")


def fold_numbers(rows: Sequence[Row], folds: int, seed: int) -> list[int]:
    """A number from 0 to `folds - 1` for each row: near-duplicates share one, and each label is spread evenly.

    Fewer folds where a label has fewer rows than that; 0 for all where it has but one.
    """
    labels = [row.label for row in rows]
    numbers = np.zeros(len(rows), dtype=np.intp)
    if (folds := min([folds, *Counter(labels).values()])) > 1:
        splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
        for number, (_, mine) in enumerate(splitter.split(labels, labels, groups([row.text for row in rows]))):
            numbers[mine] = number
    return [int(number) for number in numbers]


def out_of_fold(
    folds: Sequence[int],
    answer: Callable[[int, Path], Sequence[Sequence[float]]],
    work: Path,
) -> Floats:
    """`[asked][labels]`: each asked row's probabilities, by a model that was trained on the rows of the other folds.

    A fold that is done is kept in `work`, and not done again after a kill.

    Args:
        folds: each row's number.
        answer: trains on all rows but those of a fold, in a folder of its own, and answers these in their order.
        work: a folder that is the same at each try.
    """
    answers: dict[int, Sequence[float]] = {}
    for fold in sorted(set(folds) - {ALWAYS}):
        mine = [place for place, number in enumerate(folds) if number == fold]
        kept, folder = work / f"fold-{fold}.json", work / f"fold-{fold}"
        if not kept.exists():
            folder.mkdir(exist_ok=True)
            partial = kept.with_suffix(".partial")
            partial.write_text(json.dumps(answer(fold, folder)), encoding="utf-8")
            partial.replace(kept)
        shutil.rmtree(folder, ignore_errors=True)
        answers.update(zip(mine, json.loads(kept.read_bytes()), strict=True))
    return np.asarray([answers[place] for place in sorted(answers)], dtype=np.float64)
