"""Have the messages changed since the model was made? Recent samples against a version's reference. No torch.

What is compared: each dimension of the embeddings, the confidences, lengths, the mix of labels and of languages. A
difference counts when chance does not explain it *and* it is large; with thousands of rows everything is significant.
"""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, kstwo

from triagem.db import Database
from triagem.db.samples import FIRST, Seen, earliest, latest, report
from triagem.registry import Registry
from triagem.trainer.reference import Population, read_reference

LEAST: Final = 100  # rows on either side
RECENT: Final = 500
LARGE: Final = 0.1  # of D, and of the distance between two mixes
# One false alarm in 50 over all five comparisons (one in 20 would be two a month where one looks daily), by
# Bonferroni's bound, which holds however these depend on each other. So it is with the dimensions, which depend on
# each other strongly, as in Rabanser, Günnemann and Lipton 2019 (arXiv:1810.11953).
LEVEL: Final = 0.02 / 5


@dataclass(frozen=True, slots=True)
class Shift:
    """One comparison. `size` is D of Kolmogorov and Smirnov, of embeddings the largest of all dimensions; of mixes
    the total variation distance, the share of rows that would have to change. `before` and `now` are its figures."""

    what: Literal["embeddings", "confidence", "length", "labels", "languages"]
    size: float
    p: float
    found: bool
    before: Mapping[str, float]
    now: Mapping[str, float]

    def __str__(self) -> str:
        if self.what == "embeddings":
            said = f"{self.now['shifted']:.0f} of {self.now['dimensions']:.0f} dimensions shifted"
        elif self.what in {"labels", "languages"}:
            said = ", ".join(f"{name} {self.now[name]:.0%} (was {was:.0%})" for name, was in self.before.items())
        else:
            said = f"median {self.now['median']:.3g} (was {self.before['median']:.3g})"
        return f"{self.what}: {said}; size {self.size:.2f}, p {self.p:.1g}"


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What was compared with what, and found. Without `shifts` there were not enough rows to compare."""

    model_version: str
    reference: Literal["held-out rows", "first samples"]
    rows: int
    reference_rows: int
    shifts: tuple[Shift, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether any comparison found a shift."""
        return any(one.found for one in self.shifts)

    @property
    def detail(self) -> dict[str, Any]:
        """All figures, as JSON can hold them."""
        return {"reference": self.reference, "shifts": [asdict(one) for one in self.shifts]}

    def lines(self) -> list[str]:
        """In plain words, the verdict first."""
        if not self.shifts and self.reference_rows < LEAST:
            sides = f"{self.reference_rows} of {LEAST} held-out rows, and {self.rows} of the first {FIRST} samples"
            return [f"{self.model_version} has no reference yet: {sides}"]
        if not self.shifts:
            return [f"not enough samples of {self.model_version} yet ({self.rows} of {LEAST})"]
        found = [one for one in self.shifts if one.found]
        verdict = f"drift in {', '.join(one.what for one in found)}" if found else "no drift"
        compared = f"{self.rows} samples against {self.reference_rows} {self.reference}"
        return [f"{self.model_version}: {verdict} ({compared})", *map(str, found or self.shifts)]


def check(
    database: Database, registry: Registry, *, version: str | None = None, since: datetime | None = None
) -> DriftReport:
    """Compare a version's recent samples with its reference, and store what was found.

    The reference is the held-out rows, until the version has its first `FIRST` samples and `LEAST` behind them: from
    then on those first ones, which are messages and not rows chosen for training.

    Args:
        version: by default the current one.
        since: only samples taken since; by default the newest `RECENT`.

    Raises:
        NoModel: there is no such version, or none is current.
    """
    version = version or registry.current().version
    held_out = read_reference(registry, version)
    first = earliest(database, version, most=FIRST)
    if len(first) == FIRST:
        later = latest(database, version, most=RECENT, after=first[-1].id, since=since)
        if len(later) >= LEAST:
            return _compared(database, version, "first samples", population(first), population(later))
    recent = latest(database, version, most=RECENT, since=since)
    if held_out is None or min(len(held_out), len(recent)) < LEAST:
        return DriftReport(version, "held-out rows", len(recent), 0 if held_out is None else len(held_out))
    return _compared(database, version, "held-out rows", held_out, population(recent))


def population(samples: Sequence[Seen]) -> Population:
    """Stored samples as arrays."""
    return Population(
        np.array([one.embedding for one in samples], dtype=np.float32),
        np.array([one.confidence for one in samples]),
        np.array([one.tokens for one in samples]),
        [one.label for one in samples],
        [one.lang for one in samples],
    )


def compare(reference: Population, recent: Population) -> tuple[Shift, ...]:
    """All comparisons, in a fixed order; languages only where both sides know them of at least `LEAST` rows."""
    shifts = [
        _embeddings(reference.embeddings, recent.embeddings),
        _numbers("confidence", reference.confidences, recent.confidences),
        _numbers("length", reference.tokens, recent.tokens),
        _mix("labels", reference.labels, recent.labels),
    ]
    before, now = ([lang for lang in side.langs if lang] for side in (reference, recent))
    if min(len(before), len(now)) >= LEAST:
        shifts.append(_mix("languages", before, now))
    return tuple(shifts)


def _compared(
    database: Database,
    version: str,
    kind: Literal["held-out rows", "first samples"],
    reference: Population,
    recent: Population,
) -> DriftReport:
    made = DriftReport(version, kind, len(recent), len(reference), compare(reference, recent))
    report(
        database,
        version,
        drifted=made.drifted,
        rows=made.rows,
        reference_rows=made.reference_rows,
        detail=made.detail,
    )
    return made


def distances(reference: NDArray[Any], recent: NDArray[Any]) -> NDArray[np.float64]:
    """D of Kolmogorov and Smirnov for each column: the largest distance between the two distribution functions.

    As `scipy.stats.ks_2samp`, which would also work out hundreds of p-values where one decides: 40 times as long.
    """
    both = np.concatenate([reference, recent])
    order = both.argsort(axis=0)
    steps = np.where(order < len(reference), 1 / len(reference), -1 / len(recent)).cumsum(axis=0)
    ordered = np.take_along_axis(both, order, axis=0)
    tied = np.zeros(both.shape, dtype=bool)
    tied[:-1] = ordered[1:] == ordered[:-1]
    answer: NDArray[np.float64] = abs(np.where(tied, 0.0, steps)).max(axis=0)
    return answer


def _embeddings(reference: NDArray[np.float32], recent: NDArray[np.float32]) -> Shift:
    sizes = distances(reference, recent)
    dimensions, effective = len(sizes), _effective(reference, recent)
    least = max(LARGE, kstwo.isf(LEVEL / dimensions, effective))
    shifted = int(np.sum(sizes >= least))
    p = min(1.0, dimensions * float(kstwo.sf(sizes.max(), effective)))
    return Shift("embeddings", float(sizes.max()), p, shifted > 0, {}, {"dimensions": dimensions, "shifted": shifted})


def _numbers(what: Literal["confidence", "length"], reference: NDArray[Any], recent: NDArray[Any]) -> Shift:
    size = float(distances(reference[:, None], recent[:, None])[0])
    p = float(kstwo.sf(size, _effective(reference, recent)))
    before, now = ({"median": float(np.median(side))} for side in (reference, recent))
    return Shift(what, size, p, p <= LEVEL and size >= LARGE, before, now)


def _effective(reference: Sized, recent: Sized) -> int:
    return round(len(reference) * len(recent) / (len(reference) + len(recent)))


def _mix(what: Literal["labels", "languages"], reference: Sequence[str], recent: Sequence[str]) -> Shift:
    """A chi-square test of two rows of counts; names too rare for it count together."""
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
    return Shift(what, size, p, p <= LEVEL and size >= LARGE, before, now)
