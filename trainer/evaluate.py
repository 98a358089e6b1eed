"""How well a model does on labelled rows, through the engine that serves it: no second inference to drift apart.

Not here: calibration, uncertainty and the gate.
"""

from collections.abc import Sequence

from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from engine.classify import LoadedModel, classify
from trainer.data import Row
from trainer.report import Evaluation, Scores


def evaluate(model: LoadedModel, rows: Sequence[Row]) -> Evaluation:
    """Classify the rows with a loaded version and compare. The rows' texts are clean, as in serving."""
    answers = classify(model, [row.text for row in rows])
    return compare(rows, most_likely(answers, model.labels))


def most_likely(answers: Sequence[Sequence[float]], labels: Sequence[str]) -> list[str]:
    """The label of each row of probabilities."""
    return [labels[max(range(len(one)), key=one.__getitem__)] for one in answers]


def compare(rows: Sequence[Row], predicted: Sequence[str]) -> Evaluation:
    """Predicted labels, in the order of the rows, against the rows' own."""
    pairs = list(zip(rows, predicted, strict=True))
    langs = sorted({row.lang for row in rows} - {""})
    return Evaluation(
        overall=_scores([(row.label, label) for row, label in pairs]),
        by_lang={lang: _scores([(row.label, label) for row, label in pairs if row.lang == lang]) for lang in langs},
    )


def measure(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """The seed document's extended metrics, and macro-F1, which a rare label weighs on as much as a frequent one."""
    precision, recall, f1, _ = precision_recall_fscore_support(truth, predicted, average="weighted", zero_division=0)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "macro_f1": float(f1_score(truth, predicted, average="macro", zero_division=0)),
    }


def _scores(pairs: Sequence[tuple[str, str]]) -> Scores:
    return Scores(len(pairs), **measure([true for true, _ in pairs], [guess for _, guess in pairs]))
