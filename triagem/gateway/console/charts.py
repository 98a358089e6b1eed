"""Charts as values for inline SVG: bars in the units of a view box. Pure; no library, a page weighs less than one."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

WIDTH: Final = 480
HEIGHT: Final = 150
_GAP: Final = 2


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle. `kind` is its class, `hint` shows under a pointer."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    hint: str


def histogram(values: Iterable[tuple[float, str]], *, bins: int = 20) -> list[Bar]:
    """Bars of confidences from 0 to 1; stacked by band."""
    counts = Counter((min(bins - 1, int(value * bins)), band) for value, band in values)
    return _stacked(
        [
            {f"band-{band}": count for (at, band), count in sorted(counts.items()) if at == place}
            for place in range(bins)
        ],
        [f"{place / bins:.2f}\N{EN DASH}{(place + 1) / bins:.2f}" for place in range(bins)],
    )


def over_time(
    moments: Sequence[tuple[datetime, str]], kinds: Sequence[str], *, bins: int = 24
) -> tuple[list[Bar], datetime, datetime]:
    """Bars of labels over equal spans from the first moment to the last; at least one moment."""
    first, last = min(moment for moment, _ in moments), max(moment for moment, _ in moments)
    span = (last - first) / bins
    counts = Counter((min(bins - 1, int((moment - first) / span)) if span else 0, said) for moment, said in moments)
    columns = [
        {f"l{_place(said, kinds)} {said}": count for (at, said), count in sorted(counts.items()) if at == place}
        for place in range(bins)
    ]
    return _stacked(columns, [f"{first + span * place:%m-%d %H:%M}" for place in range(bins)]), first, last


def _place(said: str, kinds: Sequence[str]) -> int:
    return kinds.index(said) % 6 if said in kinds else 5


def _stacked(columns: Sequence[dict[str, int]], names: Sequence[str]) -> list[Bar]:
    highest = max((sum(column.values()) for column in columns), default=0) or 1
    width, bars = WIDTH / len(columns), list[Bar]()
    for place, (column, name) in enumerate(zip(columns, names, strict=True)):
        y = float(HEIGHT)
        for what, count in column.items():
            height = HEIGHT * count / highest
            y -= height
            kind, _, said = what.partition(" ")
            hint = f"{name}: {count} {said}".strip()
            bars.append(
                Bar(round(place * width, 1), round(y, 1), round(width - _GAP, 1), round(height, 1), kind, hint)
            )
    return bars
