"""Finds training rows whose label is probably wrong, before a model learns them.

Confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068) on the baseline's out-of-fold predictions:
seconds where a BERT would take hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from triagem.trainer.baseline import baseline
from triagem.trainer.cross_validation import fold_numbers
from triagem.trainer.data import Row
from triagem.trainer.temperature_scaling import Floats, LabelIndices

_FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class LabelError:
    """A row whose label is probably wrong; `confidence` is the probability of `suggested_label`."""

    where: str
    label: str
    suggested_label: str
    confidence: float


def label_errors(rows: Sequence[Row], labels: Sequence[str], *, seed: int) -> list[LabelError]:
    """The suspected rows, the most confident first; empty if a label has too few rows to be held out."""
    folds = np.asarray(fold_numbers(rows, _FOLDS, seed))
    predicted = np.zeros((len(rows), len(labels)))
    for fold in set(folds.tolist()):
        held_out = folds == fold
        others = [row for row, out in zip(rows, held_out, strict=True) if not out]
        if {row.label for row in others} != set(labels):
            return []
        fold_rows = [row for row, out in zip(rows, held_out, strict=True) if out]
        predicted[held_out] = baseline(others, fold_rows, labels)
    given = np.asarray([labels.index(row.label) for row in rows])
    suspects = [(int(row), int(suggested)) for row, suggested in zip(*suspected(predicted, given), strict=True)]
    suspects.sort(key=lambda suspect: -predicted[suspect])
    return [
        LabelError(rows[row].where, rows[row].label, labels[suggested], float(predicted[row, suggested]))
        for row, suggested in suspects
    ]


def suspected(probabilities: Floats, given: LabelIndices) -> tuple[LabelIndices, LabelIndices]:
    """Indices of the suspected rows, and the label that each probably has instead.

    A row is suspected of a label if its probability is at least the mean probability of that label's own rows. So a
    label that models never predict with high confidence needs less.

    Args:
        probabilities: out of fold, `[rows][labels]`.
        given: the indices of the rows' labels, `[rows]`; each label occurs at least once.
    """
    mean = np.asarray([probabilities[given == label, label].mean() for label in range(probabilities.shape[1])])
    reached = np.where(probabilities >= mean, probabilities, 0.0)
    suggested = reached.argmax(axis=1)
    rows = np.flatnonzero((reached.max(axis=1) > 0) & (suggested != given))
    return rows, suggested[rows]
