"""What training tells its caller: progress while it runs, a report at its end. Pure values, no torch.

An `Assessment` is what `report.json` of a version holds; `trainer.assess` makes it, `trainer.page` shows it.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from contracts.model import Answer, Manifest

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
    """Some of the test rows and their figures by name, as `trainer.measures.scores` explains them."""

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
class TrainingReport:
    """A registered version, how it came about, and how good it is beside the simplest model of the same rows."""

    manifest: Manifest
    notes: tuple[str, ...]
    rows: int
    steps: int
    seconds: float
    assessment: Assessment
