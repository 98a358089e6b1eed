"""What training tells its caller: progress while it runs, a report at its end. Pure values, no torch.

An `Assessment` is what `report.json` of a version holds; `trainer.assess` makes it, `trainer.page` shows it.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from triagem.contracts.model import Answer, Manifest
from triagem.registry.decision import Decision

Verdict = Literal["not yet good", "good", "excellent"]


class Progress(Protocol):
    """Who wants to know how far training is; the command draws a bar with it."""

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        """After each optimizer step. `loss` is the latest known mean, None before the first."""


@dataclass(frozen=True, slots=True)
class Point:
    """What was logged at an optimizer step; None where that step did not say."""

    step: int
    loss: float | None
    learning_rate: float | None
    dev_accuracy: float | None


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Value):
    """A figure and its 95 % interval; None where the rows do not define it (no wrong answer, no such label)."""

    value: float | None
    low: float | None
    high: float | None


class Slice(_Value):
    """Some of the test rows and their figures by name, as `triagem.trainer.measures.scores` explains them."""

    rows: int
    figures: dict[str, Figure]


class Reading(_Value):
    """How the seed document reads a figure, and its verdict on the interval's lower end: at least that, with 95 %."""

    metric: str
    value: float
    verdict: Verdict
    surely: Verdict


class Bin(_Value):
    """Answers of like confidence: their mean confidence, and how many of them are right (Wilson's 95 % interval)."""

    rows: int
    confidence: float
    accuracy: Figure


class Bar(_Value):
    """Right and wrong answers with a confidence from `low` to `high`."""

    low: float
    high: float
    right: int
    wrong: int


class Risk(_Value):
    """If only answers of at least this confidence counted: their share of all, and how many of them are wrong."""

    confidence: float
    coverage: float
    risk: float


class Mistake(_Value):
    """A test row that the model got wrong."""

    text: str
    label: str
    predicted: str
    confidence: float
    lang: str


class Baseline(_Value):
    """The same rows by TF-IDF and logistic regression. `gain` is the model's macro-F1 less the baseline's, paired."""

    overall: Slice
    by_lang: dict[str, Slice]
    gain: Figure
    sentence: str
    beaten: bool = Field(description="the gain's interval lies above 0, and no language is behind")


class Assessment(_Value):
    """How good a version is on its test rows. `confusion` is `[true][said]` in the order of `labels`."""

    schema_version: Literal[1] = 1
    labels: tuple[str, ...]
    overall: Slice
    by_lang: dict[str, Slice]
    by_label: dict[str, Slice]
    confusion: tuple[tuple[int, ...], ...]
    before_calibration: Slice | None = Field(description="at temperature 1; None if that was not handed in")
    ece_if_exact: Figure = Field(description="the ECE that so many rows give where confidence is exactly right")
    bins: tuple[Bin, ...]
    histogram: tuple[Bar, ...]
    risk_coverage: tuple[Risk, ...]
    readings: tuple[Reading, ...]
    baseline: Baseline | None
    mistakes: tuple[Mistake, ...] = Field(description="all wrong answers, the surest first")
    curves: tuple[Point, ...]
    notes: tuple[str, ...]
    answers: tuple[Answer, ...] = Field(default=(), exclude=True, description="a file of their own")


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far confidences can be trusted: negative log-likelihood, expected calibration error."""

    nll: float
    ece: float


Way = Literal["held-out", "out-of-fold", "dev", "none"]


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
    """A registered version, how it came about, and how good it is beside the simplest model of the same rows.

    `gate` is what the gate said of it, None if it was not asked.
    """

    manifest: Manifest
    notes: tuple[str, ...]
    rows: int
    steps: int
    seconds: float
    calibration: Calibration
    threshold: Threshold
    assessment: Assessment
    gate: Decision | None
