"""The TF-IDF baseline: n-grams and logistic regression. Finds rows whose label is probably wrong.

A BERT that does not beat the baseline on the same rows is not worth its cost. The baseline is neither stored nor
served.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from triagem.trainer.data.near_duplicates import fold_numbers
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.metrics import Fit, Floats, LabelIndices, out_of_fold

_FOLDS: Final = 5  # for the out-of-fold predictions of `label_errors`


def baseline(train: Sequence[Row], test: Sequence[Row], labels: Sequence[str]) -> Floats:
    """Probabilities `[test rows][labels]` of a baseline fitted on `train`.

    Pass dev and calibration rows in `train` too: the baseline needs no held-out rows.
    """
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    model = make_pipeline(make_union(words, characters), LogisticRegression(C=10, max_iter=1000))
    model.fit([row.text for row in train], [labels.index(row.label) for row in train])
    probabilities = np.zeros((len(test), len(labels)))
    probabilities[:, model.classes_] = model.predict_proba([row.text for row in test])
    return probabilities


def baseline_fit(rows: Sequence[Row], labels: Sequence[str]) -> Fit:
    """A baseline on some of the rows."""
    return lambda train, test: baseline([rows[row] for row in train], [rows[row] for row in test], labels)


@dataclass(frozen=True, slots=True)
class LabelError:
    """A row whose label is probably wrong; `confidence` is the probability of `suggested_label`."""

    where: str
    label: str
    suggested_label: str
    confidence: float
    text: str


def label_errors(rows: Sequence[Row], labels: Sequence[str], *, seed: int) -> list[LabelError]:
    """The suspected rows, the most confident first; empty if a label has too few rows to be held out.

    Confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068) on the baseline's out-of-fold predictions:
    seconds where a BERT would take hours.
    """
    folds = np.asarray(fold_numbers(rows, _FOLDS, seed))
    label_numbers = np.asarray([labels.index(row.label) for row in rows])
    if any(len(np.unique(label_numbers[folds != fold])) < len(labels) for fold in np.unique(folds)):
        return []
    predicted = out_of_fold(baseline_fit(rows, labels), folds)
    suspects = [
        (int(row), int(suggested)) for row, suggested in zip(*suspected(predicted, label_numbers), strict=True)
    ]
    suspects.sort(key=lambda suspect: -predicted[suspect])
    return [
        LabelError(
            rows[row].where, rows[row].label, labels[suggested], float(predicted[row, suggested]), rows[row].text
        )
        for row, suggested in suspects
    ]


def suspected(probabilities: Floats, given: LabelIndices) -> tuple[LabelIndices, LabelIndices]:
    """Indices of the suspected rows, and the label that each probably has instead.

    A row is suspected of having a label if the label's probability for it is at least the mean probability for the
    rows given this label. So the limit is lower for labels that models never predict with high confidence.

    Args:
        probabilities: out of fold, `[rows][labels]`.
        given: the indices of the rows' labels, `[rows]`; each label occurs at least once.
    """
    mean = np.asarray([probabilities[given == label, label].mean() for label in range(probabilities.shape[1])])
    reached = np.where(probabilities >= mean, probabilities, 0.0)
    suggested = reached.argmax(axis=1)
    rows = np.flatnonzero((reached.max(axis=1) > 0) & (suggested != given))
    return rows, suggested[rows]
