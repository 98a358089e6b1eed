"""Detects input drift: compares recent samples with a version's reference. No torch.

It compares each dimension of the embeddings, the confidences, the lengths, and the distributions of labels and of
languages. A difference counts only if it is significant *and* large, because with thousands of rows every difference
is significant.
"""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, kstwo

from triagem.db import Database
from triagem.db.tickets.samples import KEEP_FIRST, StoredSample, first_samples, newest_samples, store_drift_report
from triagem.registry import Registry
from triagem.trainer.monitor.reference import Population, read_reference

MIN_ROWS: Final = 100  # rows on either side
RECENT: Final = 500
MIN_SIZE: Final = 0.1  # of D, and of the total variation distance
# One false alarm in 50 over all five comparisons (one in 20 would be two a month with daily checks), by Bonferroni's
# bound, which holds for any dependence between them. The same bound covers the strongly dependent dimensions, as in
# Rabanser, Günnemann and Lipton 2019 (arXiv:1810.11953).
MAX_P: Final = 0.02 / 5

ReferenceKind = Literal["held-out rows", "first samples"]


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """The result of one comparison; `before` and `now` are the compared figures.

    `size` is the Kolmogorov-Smirnov D, for embeddings the largest of all dimensions. For labels and languages it is
    the total variation distance, the share of rows that would have to change.
    """

    feature: Literal["embeddings", "confidence", "length", "labels", "languages"]
    size: float
    p: float
    shifted: bool
    before: Mapping[str, float]
    now: Mapping[str, float]

    def __str__(self) -> str:
        if self.feature == "embeddings":
            change = f"{self.now['shifted']:.0f} of {self.now['dimensions']:.0f} dimensions shifted"
        elif self.feature in {"labels", "languages"}:
            change = ", ".join(f"{name} {self.now[name]:.0%} (was {was:.0%})" for name, was in self.before.items())
        else:
            change = f"median {self.now['median']:.3g} (was {self.before['median']:.3g})"
        return f"{self.feature}: {change}; size {self.size:.2f}, p {self.p:.1g}"


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The result of a drift check. `shifts` is empty if there were not enough rows to compare."""

    model_version: str
    reference: ReferenceKind
    rows: int
    reference_rows: int
    shifts: tuple[FeatureShift, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether any comparison found a shift."""
        return any(shift.shifted for shift in self.shifts)

    def lines(self) -> list[str]:
        """The result as text, one line each, the verdict first."""
        if not self.shifts and self.reference_rows < MIN_ROWS:
            needed = f"{MIN_ROWS} held-out rows (it has {self.reference_rows:,})"
            samples = f"the first {KEEP_FIRST} samples of live tickets (so far {self.rows:,})"
            return [f"{self.model_version} cannot be compared yet: that needs {needed} or {samples}"]
        if not self.shifts:
            samples = f"not enough samples of {self.model_version} yet ({self.rows:,} of {MIN_ROWS})"
            return [f"{samples}; only live tickets are sampled"]
        shifted = [shift for shift in self.shifts if shift.shifted]
        verdict = f"drift in {', '.join(shift.feature for shift in shifted)}" if shifted else "no drift"
        compared = f"{self.rows:,} samples against {self.reference_rows:,} {self.reference}"
        return [f"{self.model_version}: {verdict} ({compared})", *map(str, shifted or self.shifts)]


def check(database: Database, registry: Registry) -> DriftReport:
    """Compare the current version's recent samples with its reference, and store the result.

    The reference is the held-out rows until the version has its first `KEEP_FIRST` samples and `MIN_ROWS` after them.
    From then on, the reference is these first samples, because they are real messages and not rows chosen for
    training.

    Raises:
        NoModel: no version is current.
    """
    version = registry.current().version
    kind: ReferenceKind = "held-out rows"
    reference = read_reference(registry, version)
    recent = newest_samples(database, version, limit=RECENT)
    first = first_samples(database, version, limit=KEEP_FIRST)
    if len(first) == KEEP_FIRST:
        later = newest_samples(database, version, limit=RECENT, after=first[-1].id)
        if len(later) >= MIN_ROWS:
            kind, reference, recent = "first samples", population(first), later
    if reference is None or min(len(reference), len(recent)) < MIN_ROWS:
        return DriftReport(version, kind, len(recent), len(reference or ()))
    report = DriftReport(version, kind, len(recent), len(reference), compare(reference, population(recent)))
    store_drift_report(
        database,
        version,
        drifted=report.drifted,
        rows=report.rows,
        reference_rows=report.reference_rows,
        detail={"reference": kind, "shifts": [asdict(shift) for shift in report.shifts]},
    )
    return report


def population(samples: Sequence[StoredSample]) -> Population:
    """Stored samples as arrays."""
    return Population(
        np.array([sample.embedding for sample in samples], dtype=np.float32),
        np.array([sample.confidence for sample in samples]),
        np.array([sample.tokens for sample in samples]),
        [sample.label for sample in samples],
        [sample.lang for sample in samples],
    )


def compare(reference: Population, recent: Population) -> tuple[FeatureShift, ...]:
    """All comparisons, in a fixed order.

    Languages are compared only if both sides have at least `MIN_ROWS` rows with a language.
    """
    shifts = [
        _embedding_shift(reference.embeddings, recent.embeddings),
        _values("confidence", reference.confidences, recent.confidences),
        _values("length", reference.tokens, recent.tokens),
        _distribution("labels", reference.labels, recent.labels),
    ]
    before, now = ([lang for lang in side.langs if lang] for side in (reference, recent))
    if min(len(before), len(now)) >= MIN_ROWS:
        shifts.append(_distribution("languages", before, now))
    return tuple(shifts)


def distances(reference: NDArray[Any], recent: NDArray[Any]) -> NDArray[np.float64]:
    """The Kolmogorov-Smirnov D of each column: the largest distance between the two distribution functions.

    `scipy.stats.ks_2samp` would also compute hundreds of p-values, of which only one is needed, and take 40 times as
    long.
    """
    both = np.concatenate([reference, recent])
    order = both.argsort(axis=0)
    steps = np.where(order < len(reference), 1 / len(reference), -1 / len(recent)).cumsum(axis=0)
    ordered = np.take_along_axis(both, order, axis=0)
    tied = np.zeros(both.shape, dtype=bool)
    tied[:-1] = ordered[1:] == ordered[:-1]
    largest: NDArray[np.float64] = abs(np.where(tied, 0.0, steps)).max(axis=0)
    return largest


def _embedding_shift(reference: NDArray[np.float32], recent: NDArray[np.float32]) -> FeatureShift:
    sizes = distances(reference, recent)
    dimensions, effective = len(sizes), _effective(reference, recent)
    min_size = max(MIN_SIZE, kstwo.isf(MAX_P / dimensions, effective))
    shifted = int(np.sum(sizes >= min_size))
    p = min(1.0, dimensions * float(kstwo.sf(sizes.max(), effective)))
    return FeatureShift(
        "embeddings", float(sizes.max()), p, shifted > 0, {}, {"dimensions": dimensions, "shifted": shifted}
    )


def _values(feature: Literal["confidence", "length"], reference: NDArray[Any], recent: NDArray[Any]) -> FeatureShift:
    size = float(distances(reference[:, None], recent[:, None])[0])
    p = float(kstwo.sf(size, _effective(reference, recent)))
    before, now = ({"median": float(np.median(side))} for side in (reference, recent))
    return FeatureShift(feature, size, p, p <= MAX_P and size >= MIN_SIZE, before, now)


def _effective(reference: Sized, recent: Sized) -> int:
    return round(len(reference) * len(recent) / (len(reference) + len(recent)))


def _distribution(
    feature: Literal["labels", "languages"], reference: Sequence[str], recent: Sequence[str]
) -> FeatureShift:
    """A chi-square test of two distributions; names that are too rare for the test are counted together."""
    names = sorted({*reference, *recent})
    table = np.array([[list(side).count(name) for name in names] for side in (reference, recent)])
    total = table.sum(axis=1, keepdims=True)
    rare = (total @ table.sum(axis=0, keepdims=True) / table.sum()).min(axis=0) < 5
    if rare.sum() > 1:
        names = [name for name, is_rare in zip(names, rare, strict=True) if not is_rare] + ["others"]
        table = np.hstack([table[:, ~rare], table[:, rare].sum(axis=1, keepdims=True)])
    shares = table / total
    size = float(abs(shares[0] - shares[1]).sum() / 2)
    p = float(chi2_contingency(table).pvalue) if len(names) > 1 else 1.0
    before, now = (dict(zip(names, map(float, side), strict=True)) for side in shares)
    return FeatureShift(feature, size, p, p <= MAX_P and size >= MIN_SIZE, before, now)
