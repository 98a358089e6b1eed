"""A version's evaluation on its test rows: the content of `report.json`.

`triagem.trainer.evaluate` makes it; the commands, the console and `report.html` show it.
"""

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, Field

from triagem.contracts.model import ScoredRow

Verdict = Literal["not yet good", "good", "excellent"]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Values logged at an optimizer step; None for values that were not logged at this step."""

    step: int
    loss: float | None
    learning_rate: float | None
    dev_accuracy: float | None


class MetricEstimate(BaseModel, frozen=True, extra="forbid"):
    """A metric and its 95 % interval; None where the rows do not define it (no wrong prediction, no such label)."""

    value: float | None
    low: float | None
    high: float | None


class Slice(BaseModel, frozen=True, extra="forbid"):
    """A subset of the test rows and its metrics by name; see `triagem.trainer.evaluate.metrics.compute_metrics`."""

    rows: int
    metrics: dict[str, MetricEstimate]


class MetricVerdict(BaseModel, frozen=True, extra="forbid"):
    """The specification's verdict on a metric and on its interval's lower bound (at least that good, at 95 %)."""

    metric: str
    value: float
    verdict: Verdict
    lower_bound_verdict: Verdict


class ReliabilityBin(BaseModel, frozen=True, extra="forbid"):
    """Predictions of similar confidence: their mean confidence, and their accuracy with Wilson's 95 % interval."""

    rows: int
    confidence: float
    accuracy: MetricEstimate


class HistogramBar(BaseModel, frozen=True, extra="forbid"):
    """The number of right and wrong predictions with a confidence from `low` to `high`."""

    low: float
    high: float
    right: int
    wrong: int


class RiskCoveragePoint(BaseModel, frozen=True, extra="forbid"):
    """The share of predictions with at least this confidence (coverage) and their error rate (risk)."""

    confidence: float
    coverage: float
    risk: float


WITHHELD: Final = "(reviewed ticket, digest {})"


class Misclassification(BaseModel, frozen=True, extra="forbid"):
    """A test row that the model got wrong. A reviewed ticket's text is `WITHHELD`."""

    text: str
    label: str
    predicted: str
    confidence: float
    lang: str

    @property
    def withheld(self) -> bool:
        """Whether the text is left out."""
        return self.text.startswith(WITHHELD.partition("{")[0])


LEAKED: Final = "{} of {} test rows are also training rows, or nearly: these scores measure memorization"


METRICS_HINT: Final = (
    "For log loss, Brier score, calibration error and AURC, lower is better. Log loss counts confident mistakes "
    "most. The calibration error is the mean difference between confidence and accuracy."
)


class BaselineComparison(BaseModel, frozen=True, extra="forbid"):
    """TF-IDF with logistic regression on the same rows. `gain`: the model's macro-F1 minus the baseline's, paired."""

    overall: Slice
    by_lang: dict[str, Slice]
    gain: MetricEstimate
    sentence: str
    beaten: bool = Field(description="the gain's interval lies above 0, and no language is behind")


class Assessment(BaseModel, frozen=True, extra="forbid"):
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


def describe_rows(rows: int, texts: int | None, kind: str = "") -> str:
    """`100 test rows (4 different texts)`; without the parentheses if there are no copies or `texts` is unknown."""
    different = "" if texts in {None, rows} else f" ({texts:,} different texts)"
    return f"{rows:,} {kind + ' ' if kind else ''}rows{different}"
