"""Values of the promotion gate: a version's record, the evidence, and the decision."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from triagem.contracts.model import ScoredRow


class Rule(StrEnum):
    """The comparison of accuracy that a candidate must pass, in addition to the minimum requirements."""

    IMPROVE = "improve"
    GAIN = "gain"
    NON_INFERIOR = "non-inferior"


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A version's test predictions, and the texts that it and its ancestors were trained on.

    `predictions` and `trained_on` are keyed by the digest of the clean text. `leaked` counts the test rows that are
    copies or near-copies of training rows. Each of `gaps` is a sentence about information that could not be read.
    """

    version: str
    labels: tuple[str, ...]
    predictions: Mapping[str, ScoredRow]
    trained_on: AbstractSet[str]
    metrics: Mapping[str, float]
    leaked: int = 0
    gaps: tuple[str, ...] = ()

    def predicted_label(self, digest: str) -> str:
        """The label that this version predicted for a test row."""
        probabilities = self.predictions[digest].probabilities
        return self.labels[max(range(len(probabilities)), key=probabilities.__getitem__)]


@dataclass(frozen=True, slots=True)
class Recall:
    """The number of rows with a label, and how many of them each version found."""

    rows: int
    true_positives: int
    current_true_positives: int | None


@dataclass(frozen=True, slots=True)
class CandidateMetrics:
    """A candidate on the test rows. `most_frequent` is the share of the rows' most frequent label.

    `nll` is the mean negative log probability of the true label, each probability counted as at least 0.001.
    `mflops_per_token` is None if the manifest has none.
    """

    rows: int
    accuracy: float
    most_frequent: float
    recalls: Mapping[str, Recall]
    nll: float
    mflops_per_token: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The current version on the same rows, and the difference: candidate's accuracy minus the current version's.

    `gained` and `lost` count the rows that only the candidate, or only the current version, got right. `rows_needed`
    is about how many rows the rule needs for a reliable decision.
    """

    accuracy: float
    nll: float
    mflops_per_token: float | None
    gained: int
    lost: int
    p_value: float
    lower_bound: float
    rows_needed: int


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """The evidence for a decision.

    `excluded_rows` counts the common test rows that a version, or an ancestor, was trained on. `candidate_metrics` is
    None if no row is left. `comparison` is None if no row is left or no version is current. `rule` is None if no
    version is current.
    """

    candidate: str
    current: str | None
    rule: Rule | None
    excluded_rows: int = 0
    candidate_metrics: CandidateMetrics | None = None
    comparison: Comparison | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Promote:
    """The candidate may become current."""

    evidence: GateEvidence
    decision: Literal["promote"] = "promote"


@dataclass(frozen=True, slots=True)
class Reject:
    """The candidate must not become current. Each reason says what is wrong and, where possible, what to do."""

    evidence: GateEvidence
    reasons: tuple[str, ...]
    decision: Literal["reject"] = "reject"


Decision = Promote | Reject
