"""Values that training returns: its progress, and a report at the end. Pure, no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from triagem.contracts.assessment import Assessment
from triagem.contracts.model import Manifest
from triagem.registry.decision import Decision


class TrainingProgress(Protocol):
    """Receives the progress of a training. Subclasses override only the methods they need."""

    def on_notes(self, notes: Sequence[str]) -> None:
        """Called before the first step with notes on the rows, the base, and settings that differ."""

    def on_evaluation(self, done: int, total: int, metric: str, value: float) -> None:
        """Called after each evaluation on the dev rows."""

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        """Called after each optimizer step. `loss` is the latest known mean, None before the first."""


_MANY_TEXTS: Final = 10_000


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
            reason = f"too few different texts ({self.texts})" if self.texts else "no text was held out"
            return f"temperature {self.temperature:.2f}, not calibrated: {reason}"
        return (
            f"temperature {self.temperature:.2f}, fitted on {self.texts:,} {self.source} texts: "
            f"NLL {self.nll_before:.3f} → {self.nll_after:.3f}, ECE {self.ece_before:.3f} → {self.ece_after:.3f}"
        )


@dataclass(frozen=True, slots=True)
class ReviewThreshold:
    """The confidence below which a person reviews a ticket, and the evidence for it.

    Of the `texts` different held-out texts at or above the threshold, `right` are right. `proven_precision` is the
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
        target = f"{self.target_precision:.0%}"
        if self.proven_precision is not None:
            return (
                f"review below {self.review:.3f}: {self.right:,} of the {self.texts:,} held-out texts at or above it "
                f"are right, which proves {self.proven_precision:.1%} (target {target})"
            )
        default = f"review below {self.review:.3f}, the default"
        if self.texts_missing is None:
            return (
                f"{default}: only {self.right:,} of the {self.texts:,} most confident held-out texts are right, so "
                f"no number of texts can prove {target}"
            )
        missing = f"{self.texts_missing:,}" if self.texts_missing <= _MANY_TEXTS else f"over {_MANY_TEXTS:,}"
        if not self.texts:
            return f"{default}: no held-out text reaches it; {missing} right ones would prove {target}"
        return (
            f"{default}: {self.texts:,} held-out texts, {self.right:,} of them right, do not prove "
            f"{target}; {missing} more with the same accuracy would"
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
