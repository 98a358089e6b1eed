"""Values that training returns: its progress, and a report at the end. Pure, no torch.

A version's `report.json` holds an `Assessment`. `assess` makes it, `html_report` renders it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from triagem.contracts.model import Manifest, ScoredRow
from triagem.registry.decision import Decision
from triagem.trainer.data.rows import describe_rows

Verdict = Literal["not yet good", "good", "excellent"]


class TrainingProgress(Protocol):
    """Receives the progress of a training. Subclasses override only the methods they need."""

    def on_notes(self, notes: Sequence[str]) -> None:
        """Called before the first step with notes on the rows, the base, and settings that differ."""

    def on_evaluation(self, done: int, total: int, metric: str, value: float) -> None:
        """Called after each evaluation on the dev rows."""

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        """Called after each optimizer step. `loss` is the latest known mean, None before the first."""


_MANY_TEXTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Values logged at an optimizer step; None for values that were not logged at this step."""

    step: int
    loss: float | None
    learning_rate: float | None
    dev_accuracy: float | None


class _ReportModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricEstimate(_ReportModel):
    """A metric and its 95 % interval; None where the rows do not define it (no wrong prediction, no such label)."""

    value: float | None
    low: float | None
    high: float | None


class Slice(_ReportModel):
    """A subset of the test rows and its metrics by name; see `triagem.trainer.evaluate.metrics.compute_metrics`."""

    rows: int
    metrics: dict[str, MetricEstimate]


class MetricVerdict(_ReportModel):
    """The specification's verdict on a metric and on its interval's lower bound (at least that good, at 95 %)."""

    metric: str
    value: float
    verdict: Verdict
    lower_bound_verdict: Verdict


class ReliabilityBin(_ReportModel):
    """Predictions of similar confidence: their mean confidence, and their accuracy with Wilson's 95 % interval."""

    rows: int
    confidence: float
    accuracy: MetricEstimate


class HistogramBar(_ReportModel):
    """The number of right and wrong predictions with a confidence from `low` to `high`."""

    low: float
    high: float
    right: int
    wrong: int


class RiskCoveragePoint(_ReportModel):
    """The share of predictions with at least this confidence (coverage) and their error rate (risk)."""

    confidence: float
    coverage: float
    risk: float


class Misclassification(_ReportModel):
    """A test row that the model got wrong."""

    text: str
    label: str
    predicted: str
    confidence: float
    lang: str


LEAKED: Final = "{} of {} test rows are also training rows, or nearly: these scores measure memorization"


class BaselineComparison(_ReportModel):
    """TF-IDF with logistic regression on the same rows. `gain`: the model's macro-F1 minus the baseline's, paired."""

    overall: Slice
    by_lang: dict[str, Slice]
    gain: MetricEstimate
    sentence: str
    beaten: bool = Field(description="the gain's interval lies above 0, and no language is behind")


class Assessment(_ReportModel):
    """A version's evaluation on one test row of each different text: copies are not evidence.

    `confusion` is `[true][predicted]` in the order of `labels`. No verdicts and baseline if the test rows leaked.
    """

    schema_version: Literal[1] = 1
    test_rows: int = Field(default=0, description="all test rows, copies included")
    leaked: int = Field(default=0, description="test rows that are, or nearly are, training rows")
    labels: tuple[str, ...]
    overall: Slice
    by_lang: dict[str, Slice]
    by_label: dict[str, Slice]
    confusion: tuple[tuple[int, ...], ...]
    before_calibration: Slice | None = Field(description="at temperature 1; None if it was not passed")
    ece_if_exact: MetricEstimate = Field(description="the ECE of a perfectly calibrated model on as many rows")
    bins: tuple[ReliabilityBin, ...]
    histogram: tuple[HistogramBar, ...]
    risk_coverage: tuple[RiskCoveragePoint, ...]
    verdicts: tuple[MetricVerdict, ...]
    baseline: BaselineComparison | None
    mistakes: tuple[Misclassification, ...] = Field(description="all wrong predictions, the most confident first")
    curves: tuple[CurvePoint, ...]
    notes: tuple[str, ...]
    scored_rows: tuple[ScoredRow, ...] = Field(default=(), exclude=True, description="stored in their own file")

    @property
    def title(self) -> str:
        """The texts behind the metrics: `100 test rows (4 different texts)`."""
        return describe_rows(self.test_rows or self.overall.rows, self.overall.rows, "test")

    @property
    def warning(self) -> str | None:
        """The reason why the scores are invalid; None if they are valid."""
        return LEAKED.format(self.leaked, self.test_rows) if self.leaked else None


CalibrationSource = Literal["held-out", "out-of-fold", "dev", "none"]


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """The temperature, and its cross-fitted effect on one calibration row of each different text.

    `source` tells how these rows were held out from the predicting model's training. With too few texts, the figures
    are missing.
    """

    temperature: float
    texts: int
    source: CalibrationSource
    nll_before: float | None = None
    nll_after: float | None = None
    ece_before: float | None = None
    ece_after: float | None = None

    @property
    def summary(self) -> str:
        """One line for a person."""
        if self.nll_before is None:
            reason = f"{self.texts} different texts are too few" if self.texts else "no text was held out"
            return f"temperature {self.temperature:.2f}, not calibrated: {reason}"
        return (
            f"temperature {self.temperature:.2f}, fitted on {self.texts} {self.source} texts: "
            f"NLL {self.nll_before:.3f} → {self.nll_after:.3f}, ECE {self.ece_before:.3f} → {self.ece_after:.3f}"
        )


@dataclass(frozen=True, slots=True)
class ReviewThreshold:
    """The confidence below which a person reviews a ticket, and the evidence for it.

    Of the `texts` different calibration texts at or above the threshold, `right` are right. `proven_precision` is the
    precision that these texts prove; None if it is below the target. In that case, `texts_missing` is the number of
    further texts that would prove the target; None if no number would.
    """

    review: float
    target_precision: float
    texts: int
    right: int
    proven_precision: float | None = None
    texts_missing: int | None = None

    @property
    def summary(self) -> str:
        """One line for a person."""
        if self.proven_precision is not None:
            return (
                f"review below {self.review:.3f}: {self.right} of the {self.texts} calibration texts at or above it "
                f"are right, which proves {self.proven_precision:.1%} (target {self.target_precision:.0%})"
            )
        default = f"review below {self.review:.3f}, the default"
        if self.texts_missing is None:
            return (
                f"{default}: {self.right} of the {self.texts} most confident calibration texts are right, too few "
                f"for more texts to prove {self.target_precision:.0%}"
            )
        missing = f"{self.texts_missing}" if self.texts_missing <= _MANY_TEXTS else f"over {_MANY_TEXTS:,}"
        return (
            f"{default}: {self.texts} calibration texts, {self.right} of them right, do not prove "
            f"{self.target_precision:.0%}; {missing} more with the same accuracy would"
        )


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """A registered version, how it was trained, and how it compares with the baseline on the same rows.

    `notes` were already reported before the first step; `outcome_notes` are new. `gate` is the gate's decision; None
    if the gate was not run. `unverified`: the version is current although the gate rejected it.
    """

    manifest: Manifest
    notes: tuple[str, ...]
    outcome_notes: tuple[str, ...]
    rows: int
    steps: int
    seconds: float
    calibration: CalibrationResult
    threshold: ReviewThreshold
    assessment: Assessment
    gate: Decision | None
    unverified: bool = False
