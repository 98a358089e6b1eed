"""Training rows whose label the other rows speak against: people's mistakes, found before a model learns them.

Confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068) over the baseline's answers, each by a model
of the other folds: seconds where a BERT would take hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from triagem.trainer.baseline import baseline
from triagem.trainer.calibrate import Floats, Places
from triagem.trainer.data import Row
from triagem.trainer.folds import fold_numbers

_FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class LabelError:
    """A row that is probably not what it is labelled; `confidence` is how sure the other rows make of `instead`."""

    where: str
    label: str
    instead: str
    confidence: float


def label_errors(rows: Sequence[Row], labels: Sequence[str], *, seed: int) -> list[LabelError]:
    """The suspected rows, the surest first; none where a label has too few rows to be held out."""
    folds = np.asarray(fold_numbers(rows, _FOLDS, seed))
    said = np.zeros((len(rows), len(labels)))
    for fold in set(folds.tolist()):
        held_out = folds == fold
        others = [row for row, out in zip(rows, held_out, strict=True) if not out]
        if {row.label for row in others} != set(labels):
            return []
        said[held_out] = baseline(others, [row for row, out in zip(rows, held_out, strict=True) if out], labels)
    given = np.asarray([labels.index(row.label) for row in rows])
    found = [(int(row), int(instead)) for row, instead in zip(*suspected(said, given), strict=True)]
    found.sort(key=lambda one: -said[one])
    return [
        LabelError(rows[row].where, rows[row].label, labels[instead], float(said[row, instead]))
        for row, instead in found
    ]


def suspected(said: Floats, given: Places) -> tuple[Places, Places]:
    """Rows, and the label that each seems to have instead.

    A row is suspected of a label whose probability is at least what that label's own rows get on average: so a label
    of which models are never sure needs less.

    Args:
        said: out-of-fold probabilities `[rows][labels]`.
        given: the labels' places `[rows]`, each label at least once.
    """
    usual = np.asarray([said[given == label, label].mean() for label in range(said.shape[1])])
    reached = np.where(said >= usual, said, 0.0)
    instead = reached.argmax(axis=1)
    rows = np.flatnonzero((reached.max(axis=1) > 0) & (instead != given))
    return rows, instead[rows]
