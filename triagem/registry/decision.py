"""What the gate is told and what it says: a version's record, the figures, and the decision. Values only."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from triagem.contracts.model import Answer


class Rule(StrEnum):
    """What a candidate has to show of its accuracy, beside the floors."""

    IMPROVE = "improve"
    NON_INFERIOR = "non-inferior"


@dataclass(frozen=True, slots=True)
class Record:
    """What a version's folder says of its test, and of what it and its ancestors learned from.

    `answers` and `learned` go by the digest of the clean text; `gaps` says in whole sentences what cannot be known.
    """

    version: str
    labels: tuple[str, ...]
    answers: Mapping[str, Answer]
    learned: AbstractSet[str]
    metrics: Mapping[str, float]
    gaps: tuple[str, ...] = ()

    def said(self, digest: str) -> str:
        """The label that this version gives a test row."""
        row = self.answers[digest].probabilities
        return self.labels[max(range(len(row)), key=row.__getitem__)]


@dataclass(frozen=True, slots=True)
class Recall:
    """How many of the rows bear a label, and how many of these each version found."""

    rows: int
    found: int
    found_by_current: int | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A candidate on test rows. `most_frequent` is the share of their most frequent label.

    `nll` is the mean negative logarithm of the true label's share, no share counted as less than 0.001. A
    cost that the manifest does not have is None.
    """

    rows: int
    accuracy: float
    most_frequent: float
    recalls: Mapping[str, Recall]
    nll: float
    mflops_per_token: float | None


@dataclass(frozen=True, slots=True)
class Compared:
    """The current version on the same rows, and the difference: candidate's accuracy less the current version's.

    `gained` and `lost`: rows that only the candidate, only the current version got right. `rows_needed` is about how
    many rows the rule needs to tell.
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
class Figures:
    """All that a decision rests on. `left_out` are common test rows that a version, or an ancestor, learned from.

    `measured` is None where no row is left, `compared` also where nothing is current; then there is no rule either.
    """

    candidate: str
    current: str | None
    rule: Rule | None
    left_out: int = 0
    measured: Measured | None = None
    compared: Compared | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Promote:
    """The candidate may become current."""

    figures: Figures
    decision: Literal["promote"] = "promote"


@dataclass(frozen=True, slots=True)
class Reject:
    """The candidate stays what it is. Each reason says what is wrong and, where something can be done, what."""

    figures: Figures
    reasons: tuple[str, ...]
    decision: Literal["reject"] = "reject"


Decision = Promote | Reject
