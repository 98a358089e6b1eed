"""Records of made-up versions: which test rows there are, and which of them a version gets right."""

from collections.abc import Iterable, Sequence

from triagem.contracts.model import Answer
from triagem.registry.decision import Record

LABELS = ("suporte", "venda")


def answer(
    row: int, *, right: bool, confidence: float = 0.9, labels: Sequence[str] = LABELS, label: str = ""
) -> Answer:
    """What a version says of test row number `row`; its label goes by the number unless one is named."""
    label = label or labels[row % len(labels)]
    place = labels.index(label)
    said = place if right else (place + 1) % len(labels)
    rest = (1 - confidence) / (len(labels) - 1)
    return Answer(
        digest=f"{row:064x}",
        label=label,
        probabilities=tuple(confidence if at == said else rest for at in range(len(labels))),
    )


def record(
    version: str = "v1.0.0",
    *,
    rows: int = 300,
    wrong: Iterable[int] = (),
    labels: Sequence[str] = LABELS,
    answers: Iterable[Answer] | None = None,
    learned: Iterable[int] = (),
    gaps: tuple[str, ...] = (),
    confidence: float = 0.9,
    **metrics: float,
) -> Record:
    """A version that gets all of so many test rows right, but for the named ones."""
    wrong = frozenset(wrong)
    said = answers or (
        answer(row, right=row not in wrong, confidence=confidence, labels=labels) for row in range(rows)
    )
    return Record(
        version=version,
        labels=tuple(labels),
        answers={one.digest: one for one in said},
        learned={f"{row:064x}" for row in learned},
        metrics={"mflops_per_token": 20.0} | metrics,
        gaps=gaps,
    )
