"""Charts of a report as values: everything in the pixels of a view box, for the page to draw as inline SVG. Pure.

No plotting library: matplotlib and what it needs are 24 MB to download, its SVG has the colours of one theme written
into it, and a report has lines and bars only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

from triagem.trainer.report import Assessment, Bar, Bin, Point, Risk


@dataclass(frozen=True, slots=True)
class Frame:
    """The view box, and where in it the axes lie."""

    width: int = 360
    height: int = 240
    left: int = 52
    right: int = 348
    top: int = 10
    bottom: int = 200


FRAME: Final = Frame()


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, in pixels, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Shape:
    """Something drawn: a line's points, a dot with its interval, or a bar. `hint` shows under a pointer."""

    kind: str
    points: tuple[tuple[float, float], ...]
    style: str
    hint: str = ""

    @property
    def path(self) -> str:
        """As SVG wants the points of a line."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its axes, ready to draw. `legend` is of (style, text)."""

    title: str
    said: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    shapes: tuple[Shape, ...]
    legend: tuple[tuple[str, str], ...] = ()


class _Axis:
    """From a range of values to pixels, with round values for ticks (steps of 1, 2 or 5 times a power of ten)."""

    def __init__(self, low: float, high: float, start: int, end: int) -> None:
        if high - low < max(1e-4 * abs(high), 1e-12):  # as good as one value: show it against 0
            low, high = min(low, 0.0), high if high > 1e-12 else 1.0
        wanted = (high - low) / 5
        power: float = 10.0 ** floor(log10(wanted))
        step = next(by * power for by in (1, 2, 5, 10) if by * power >= wanted * 0.999)
        first, last = floor(low / step + 1e-6), ceil(high / step - 1e-6)
        self._low, self._high, self._start, self._end = first * step, last * step, start, end
        self.ticks = tuple(Tick(self(number * step), f"{number * step:.6g}") for number in range(first, last + 1))

    def __call__(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)


def _axes(xs: Sequence[float], ys: Sequence[float]) -> tuple[_Axis, _Axis]:
    return (
        _Axis(min(xs), max(xs), FRAME.left, FRAME.right),
        _Axis(min(ys), max(ys), FRAME.bottom, FRAME.top),
    )


def charts(assessment: Assessment) -> list[Chart]:
    """All charts of a report, in its order; curves only where they were kept."""
    made = [
        reliability(assessment.bins),
        confidences(assessment.histogram),
        risk_coverage(assessment.risk_coverage),
        curve(assessment.curves, "loss", "Loss in training"),
        curve(assessment.curves, "learning_rate", "Learning rate"),
        curve(assessment.curves, "dev_accuracy", "Accuracy on the rows that choose the checkpoint"),
    ]
    return [chart for chart in made if chart]


def reliability(bins: Sequence[Bin]) -> Chart:
    """Each bin's accuracy against its confidence; on the diagonal confidence is what it says."""
    accuracies = [one.accuracy for one in bins]
    seen = [one.confidence for one in bins] + [one.low or 0.0 for one in accuracies]
    x, y = _axes([min(seen), 1], [min(seen), 1])
    shapes = [Shape("line", ((x(min(seen)), y(min(seen))), (x(1), y(1))), "aid")]
    for one in bins:
        at, value = x(one.confidence), one.accuracy.value or 0.0
        low, high = one.accuracy.low or 0.0, one.accuracy.high or 0.0
        hint = f"{one.rows} rows: confidence {one.confidence:.3f}, accuracy {value:.3f} ({low:.3f} to {high:.3f})"
        shapes += [
            Shape("line", ((at, y(low)), (at, y(high))), "model thin"),
            Shape("dot", ((at, y(value)),), "model", hint),
        ]
    return Chart(
        "Reliability",
        "Bins of equal mass with their 95 % intervals; above the dashed line the model is better than it says.",
        "confidence",
        "accuracy",
        x.ticks,
        y.ticks,
        tuple(shapes),
    )


def confidences(bars: Sequence[Bar]) -> Chart:
    """Where right and wrong answers lie: in shares of their kind, or few wrong ones would not show."""
    right, wrong = (max(1, sum(getattr(bar, kind) for bar in bars)) for kind in ("right", "wrong"))
    most = max(max(bar.right / right, bar.wrong / wrong) for bar in bars)
    x, y = _axes([bars[0].low, 1], [0, most])
    shapes = list[Shape]()
    for bar in bars:
        middle = (x(bar.low) + x(bar.high)) / 2
        for style, count, total, left, end in (
            ("model", bar.right, right, x(bar.low) + 1, middle),
            ("wrong", bar.wrong, wrong, middle, x(bar.high) - 1),
        ):
            hint = f"{bar.low:.2f} to {bar.high:.2f}: {count} {'right' if style == 'model' else 'wrong'}"
            shapes.append(Shape("bar", ((left, y(count / total)), (end, y(0))), style, hint))
    return Chart(
        "Confidence",
        "How sure right answers were, and wrong ones; each kind adds up to 1.",
        "confidence",
        "share of its kind",
        x.ticks,
        y.ticks,
        tuple(shapes),
        (("model", "right"), ("wrong", "wrong")),
    )


def risk_coverage(risks: Sequence[Risk]) -> Chart:
    """How wrong the surest part of the answers is."""
    x, y = _axes([0, 1], [0, max(one.risk for one in risks)])
    return Chart(
        "Risk and coverage",
        "If only the surest answers are acted on: how many of them are wrong.",
        "share of answers acted on",
        "of these wrong",
        x.ticks,
        y.ticks,
        (Shape("line", tuple((x(one.coverage), y(one.risk)) for one in risks), "model"),),
    )


def curve(points: Sequence[Point], name: str, title: str) -> Chart | None:
    """What was logged over the optimizer's steps; None if it was not."""
    kept = [(point.step, value) for point in points if (value := getattr(point, name)) is not None]
    if not kept:
        return None
    x, y = _axes([0, *(step for step, _ in kept)], [value for _, value in kept])
    line = tuple((x(step), y(value)) for step, value in kept)
    dots = (
        Shape("dot", (at,), "model", f"step {step}: {value:.4g}")
        for at, (step, value) in zip(line, kept, strict=True)
    )
    label = name.replace("_", " ")
    return Chart(title, "", "step", label, x.ticks, y.ticks, (Shape("line", line, "model"), *dots))
