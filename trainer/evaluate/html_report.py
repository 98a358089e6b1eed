"""Renders an assessment as one HTML file: no script, no external resources, light and dark, responsive.

Charts are laid out as values in view-box pixels, and drawn by the template as inline SVG. No plotting library:
matplotlib and its dependencies are a 24 MB download, its SVG has the colours of one theme fixed, and a report has
only lines and bars.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from math import ceil, floor, log10
from pathlib import Path
from types import SimpleNamespace
from typing import Final

from jinja2 import Environment, StrictUndefined

from triagem.contracts.assessment import (
    METRICS_HINT,
    Assessment,
    CurvePoint,
    HistogramBar,
    ReliabilityBin,
    RiskCoveragePoint,
    describe_rows,
)
from triagem.contracts.model import Manifest
from triagem.contracts.portuguese import in_portuguese
from triagem.trainer.evaluate.interpretation import METRIC_NAMES, format_estimate

MAX_MISTAKES: Final = 100  # in the HTML report; report.json has all


# The view box, and the position of the axes in it.
FRAME: Final = SimpleNamespace(width=360, height=240, left=52, right=348, top=10, bottom=200)


@dataclass(frozen=True, slots=True)
class ChartShape:
    """A line, a dot or a bar. `hint` is its tooltip."""

    kind: str
    points: tuple[tuple[float, float], ...]
    style: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its axes, ready to draw. Ticks are (position, text) pairs, `legend` holds (style, text) pairs."""

    title: str
    caption: str
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    shapes: tuple[ChartShape, ...]
    legend: tuple[tuple[str, str], ...] = ()


class _Axis:
    """Maps a range of values to pixels, with ticks at round values (steps of 1, 2 or 5 times a power of ten)."""

    def __init__(self, low: float, high: float, start: int, end: int) -> None:
        if high - low < max(1e-4 * abs(high), 1e-12):  # all values are nearly equal: include 0
            low, high = min(low, 0.0), high if high > 1e-12 else 1.0
        target = (high - low) / 5
        power: float = 10.0 ** floor(log10(target))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= target * 0.999)
        first, last = floor(low / step + 1e-6), ceil(high / step - 1e-6)
        self._low, self._high, self._start, self._end = first * step, last * step, start, end
        self.ticks = tuple((self(number * step), f"{number * step:.6g}") for number in range(first, last + 1))

    def __call__(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)


def _axes(xs: Sequence[float], ys: Sequence[float]) -> tuple[_Axis, _Axis]:
    return (
        _Axis(min(xs), max(xs), FRAME.left, FRAME.right),
        _Axis(min(ys), max(ys), FRAME.bottom, FRAME.top),
    )


def render_html(assessment: Assessment, manifest: Manifest, *, portuguese: bool = False) -> str:
    """The HTML report in English or Portuguese. Texts and labels are escaped."""
    # Autoescaping covers the whole template: no `|safe`.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)

    def translate(text: str) -> str:
        return (portuguese and in_portuguese(text)) or text

    environment.filters["estimate"] = lambda estimate: translate(format_estimate(estimate))
    template = environment.from_string(Path(__file__).with_name("html_report.html").read_text(encoding="utf-8"))
    return template.render(
        report=assessment,
        manifest=manifest,
        t=translate,
        lang="pt-BR" if portuguese else "en",
        started_at=f"{manifest.created_at.astimezone(UTC):{'%d/%m/%Y' if portuguese else '%Y-%m-%d'} %H:%M} UTC",
        trained_rows=describe_rows(manifest.data.rows, manifest.data.texts),
        names=METRIC_NAMES,
        metrics_hint=METRICS_HINT,
        charts=charts(assessment),
        frame=FRAME,
        max_mistakes=MAX_MISTAKES,
    )


def charts(assessment: Assessment) -> list[Chart]:
    """All charts of a report, in order; curves only if they were logged."""
    possible = [
        reliability_chart(assessment.bins),
        confidence_chart(assessment.histogram),
        risk_coverage_chart(assessment.risk_coverage),
        curve_chart(assessment.curves, "loss", "Training loss"),
        curve_chart(assessment.curves, "learning_rate", "Learning rate"),
        curve_chart(assessment.curves, "dev_accuracy", "Dev accuracy"),
    ]
    return [chart for chart in possible if chart]


def reliability_chart(bins: Sequence[ReliabilityBin]) -> Chart:
    """Each bin's accuracy against its confidence; a calibrated model lies on the diagonal."""
    least = min([group.confidence for group in bins] + [group.accuracy.low or 0.0 for group in bins])
    x, y = _axes([least, 1], [least, 1])
    shapes = [ChartShape("line", ((x(least), y(least)), (x(1), y(1))), "aid")]
    for group in bins:
        center, value = x(group.confidence), group.accuracy.value or 0.0
        low, high = group.accuracy.low or 0.0, group.accuracy.high or 0.0
        hint = (
            f"rows: {group.rows:,}; confidence {group.confidence:.3f}, accuracy {value:.3f} ({low:.3f} to {high:.3f})"
        )
        shapes += [
            ChartShape("line", ((center, y(low)), (center, y(high))), "model thin"),
            ChartShape("dot", ((center, y(value)),), "model", hint),
        ]
    return Chart(
        "Reliability",
        "Bins of equal mass with 95% intervals. Above the dashed line the model is underconfident.",
        "confidence",
        "accuracy",
        x.ticks,
        y.ticks,
        tuple(shapes),
    )


def confidence_chart(bars: Sequence[HistogramBar]) -> Chart:
    """The confidence of right and of wrong predictions, normalised separately: few are wrong."""
    right, wrong = (max(1, sum(getattr(bar, kind) for bar in bars)) for kind in ("right", "wrong"))
    most = max(max(bar.right / right, bar.wrong / wrong) for bar in bars)
    x, y = _axes([bars[0].low, 1], [0, most])
    shapes = list[ChartShape]()
    for bar in bars:
        middle = (x(bar.low) + x(bar.high)) / 2
        for style, count, total, left, end in (
            ("model", bar.right, right, x(bar.low) + 1, middle),
            ("wrong", bar.wrong, wrong, middle, x(bar.high) - 1),
        ):
            hint = f"{bar.low:.2f} to {bar.high:.2f}, {'right' if style == 'model' else 'wrong'}: {count:,}"
            shapes.append(ChartShape("bar", ((left, y(count / total)), (end, y(0))), style, hint))
    return Chart(
        "Confidence",
        "Confidence of right and of wrong predictions; each kind sums to 1.",
        "confidence",
        "share of its kind",
        x.ticks,
        y.ticks,
        tuple(shapes),
        (("model", "right"), ("wrong", "wrong")),
    )


def risk_coverage_chart(points: Sequence[RiskCoveragePoint]) -> Chart:
    """The error rate of the most confident predictions."""
    x, y = _axes([0, 1], [0, max(point.risk for point in points)])
    return Chart(
        "Risk and coverage",
        "The error rate if only the most confident predictions are acted on.",
        "share acted on (coverage)",
        "share wrong (risk)",
        x.ticks,
        y.ticks,
        (ChartShape("line", tuple((x(point.coverage), y(point.risk)) for point in points), "model"),),
    )


def curve_chart(points: Sequence[CurvePoint], name: str, title: str) -> Chart | None:
    """A logged value over the optimizer's steps; None if it was not logged."""
    logged = [(point.step, value) for point in points if (value := getattr(point, name)) is not None]
    if not logged:
        return None
    x, y = _axes([0, *(step for step, _ in logged)], [value for _, value in logged])
    line = tuple((x(step), y(value)) for step, value in logged)
    dots = (
        ChartShape("dot", (position,), "model", f"step {step}: {value:.4g}")
        for position, (step, value) in zip(line, logged, strict=True)
    )
    label = name.replace("_", " ")
    return Chart(title, "", "step", label, x.ticks, y.ticks, (ChartShape("line", line, "model"), *dots))
