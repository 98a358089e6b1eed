"""What training tells its caller: progress while it runs, a report at its end. Pure values, no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from contracts.model import Manifest


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
class Point:
    """What was known of the training after `step` optimizer steps. `loss` is a mean since the point before."""

    step: int
    loss: float | None
    learning_rate: float | None
    dev_accuracy: float | None


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far confidences can be trusted: negative log-likelihood, expected calibration error."""

    nll: float
    ece: float


Way = Literal["held-out", "out-of-fold", "none"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The temperature, and what it does to the calibration rows, each judged by a temperature fitted without it.

    `way` says how these rows were kept from the training of the model that answered; too few rows give no figures.
    """

    temperature: float
    rows: int
    way: Way
    nll_before: float | None = None
    nll_after: float | None = None
    ece_before: float | None = None
    ece_after: float | None = None

    @property
    def line(self) -> str:
        """What a person should know."""
        if self.nll_before is None:
            return f"temperature {self.temperature:.2f}, not calibrated: {self.rows} rows are too few"
        return (
            f"temperature {self.temperature:.2f}, fitted on {self.rows} {self.way} rows: "
            f"NLL {self.nll_before:.3f} → {self.nll_after:.3f}, ECE {self.ece_before:.3f} → {self.ece_after:.3f}"
        )


@dataclass(frozen=True, slots=True)
class Threshold:
    """The confidence under which a person looks, and what stands behind it.

    `right` of `rows` calibration rows that were looked at are right. `bound` is the precision that they prove, None
    where they don't prove the wanted one; `missing` is then how many more calibration rows would, None if none would.
    """

    review: float
    wanted: float
    rows: int
    right: int
    bound: float | None = None
    missing: int | None = None

    @property
    def line(self) -> str:
        """What a person should know."""
        if self.bound is not None:
            return (
                f"review under {self.review:.3f}: of the {self.rows} calibration rows at or above it "
                f"{self.right} are right, which proves {self.bound:.1%} ({self.wanted:.0%} wanted)"
            )
        kept = f"review under {self.review:.3f}, the usual figure"
        if self.missing is None:
            seen = f"{self.right} of the surest {self.rows} calibration rows"
            return f"{kept}: {seen} are right, too few to hope for {self.wanted:.0%} by more rows"
        return (
            f"{kept}: {self.rows} calibration rows, {self.right} of them right, do not prove {self.wanted:.0%}; "
            f"{self.missing} more would, answered as well"
        )


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """A registered version, how it came about, and whether it beats the simplest model of the same rows.

    `uncalibrated` and `calibrated` are of the test rows, at a temperature of 1 and at the version's.
    """

    manifest: Manifest
    notes: tuple[str, ...]
    rows: int
    steps: int
    seconds: float
    model: Evaluation
    baseline: Evaluation
    curves: tuple[Point, ...]
    calibration: Calibration
    threshold: Threshold
    uncalibrated: Reliability
    calibrated: Reliability
