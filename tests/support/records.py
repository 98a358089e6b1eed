"""Builds test-set records of invented versions, with given right and wrong predictions."""

from collections.abc import Iterable, Sequence

from triagem.contracts.model import ScoredRow
from triagem.registry.decision import VersionRecord

LABELS = ("suporte", "venda")


def answer(
    row: int, *, right: bool, confidence: float = 0.9, labels: Sequence[str] = LABELS, label: str = ""
) -> ScoredRow:
    """A version's prediction for test row `row`. Without `label`, the row's label depends on its number."""
    label = label or labels[row % len(labels)]
    expected = labels.index(label)
    predicted = expected if right else (expected + 1) % len(labels)
    rest = (1 - confidence) / (len(labels) - 1)
    return ScoredRow(
        digest=f"{row:064x}",
        label=label,
        probabilities=tuple(confidence if index == predicted else rest for index in range(len(labels))),
    )


def record(
    version: str = "v1.0.0",
    *,
    rows: int = 300,
    wrong: Iterable[int] = (),
    labels: Sequence[str] = LABELS,
    predictions: Iterable[ScoredRow] | None = None,
    trained_on: Iterable[int] = (),
    gaps: tuple[str, ...] = (),
    confidence: float = 0.9,
    leaked: int = 0,
    **metrics: float,
) -> VersionRecord:
    """A version that predicts all test rows correctly, except those in `wrong`."""
    wrong = frozenset(wrong)
    rows_scored = predictions or (
        answer(row, right=row not in wrong, confidence=confidence, labels=labels) for row in range(rows)
    )
    return VersionRecord(
        version=version,
        labels=tuple(labels),
        predictions={row.digest: row for row in rows_scored},
        trained_on={f"{row:064x}" for row in trained_on},
        metrics={"mflops_per_token": 20.0} | metrics,
        leaked=leaked,
        gaps=gaps,
    )
