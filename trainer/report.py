"""What training tells its caller: progress while it runs, a report at its end. Pure values, no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from contracts.model import Manifest
from registry.decision import Decision


class Progress(Protocol):
    """Who wants to know how far training is; the command draws a bar with it."""

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        """After each optimizer step. `loss` is the latest known mean, None before the first."""


@dataclass(frozen=True, slots=True)
class Scores:
    """On `rows` rows. Precision, recall and F1 are weighted by the labels' share, as in the seed document."""

    rows: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    macro_f1: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores on all test rows, and on those of each language that the rows name."""

    overall: Scores
    by_lang: Mapping[str, Scores]


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """A registered version, how it came about, and whether it beats the simplest model of the same rows.

    `gate` is what the gate said of it, None if it was not asked.
    """

    manifest: Manifest
    notes: tuple[str, ...]
    rows: int
    steps: int
    seconds: float
    model: Evaluation
    baseline: Evaluation
    gate: Decision | None
