"""Computes bar charts for inline SVG, in view box units. Pure; without a library, which would outweigh a page."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

WIDTH: Final = 480
HEIGHT: Final = 150
_GAP: Final = 2


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle. `kind` is its CSS class, `hint` its tooltip."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    hint: str


def histogram(values: Iterable[tuple[float, str]], *, bins: int = 20) -> list[Bar]:
    """Bars of confidences from 0 to 1, stacked by band."""
    counts = Counter((min(bins - 1, int(value * bins)), band) for value, band in values)
    return _stacked(
        [
            {f"band-{band}": count for (index, band), count in sorted(counts.items()) if index == column}
            for column in range(bins)
        ],
        [f"{column / bins:.2f}\N{EN DASH}{(column + 1) / bins:.2f}" for column in range(bins)],
    )


def over_time(
    points: Sequence[tuple[datetime, str]], colors: Mapping[str, int], *, bins: int = 24
) -> tuple[list[Bar], datetime, datetime]:
    """Bars of label counts over equal time spans, with the first and the last time. Needs at least one point."""
    first, last = min(time for time, _ in points), max(time for time, _ in points)
    span = (last - first) / bins
    counts = Counter((min(bins - 1, int((time - first) / span)) if span else 0, label) for time, label in points)
    columns = [
        {
            f"l{colors.get(label, 5)} {label}": count
            for (index, label), count in sorted(counts.items())
            if index == column
        }
        for column in range(bins)
    ]
    return _stacked(columns, [f"{first + span * column:%m-%d %H:%M}" for column in range(bins)]), first, last


def _stacked(columns: Sequence[dict[str, int]], names: Sequence[str]) -> list[Bar]:
    highest = max((sum(column.values()) for column in columns), default=0) or 1
    width, bars = WIDTH / len(columns), list[Bar]()
    for index, (column, name) in enumerate(zip(columns, names, strict=True)):
        y = float(HEIGHT)
        for css_class_and_label, count in column.items():
            height = HEIGHT * count / highest
            y -= height
            kind, _, label = css_class_and_label.partition(" ")
            hint = f"{name}: {count} {label}".strip()
            bars.append(
                Bar(round(index * width, 1), round(y, 1), round(width - _GAP, 1), round(height, 1), kind, hint)
            )
    return bars
