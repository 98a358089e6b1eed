"""Evaluates a version's predictions on its test rows, with an interval for each metric, and writes the report files.

The formulas are in `metrics`, the HTML in `html_report`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from triagem.contracts.assessment import (
    WITHHELD,
    Assessment,
    BaselineComparison,
    CurvePoint,
    HistogramBar,
    MetricEstimate,
    Misclassification,
    ReliabilityBin,
    RiskCoveragePoint,
    Slice,
)
from triagem.contracts.model import (
    HTML_REPORT_FILE,
    HTML_REPORT_PT_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    Manifest,
    ScoredRow,
)
from triagem.contracts.text import digest
from triagem.registry import Registry
from triagem.trainer.data.near_duplicates import distinct_rows
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate import metrics
from triagem.trainer.evaluate.html_report import render_html
from triagem.trainer.evaluate.interpretation import compare_with_baseline, languages_behind, metric_verdicts
from triagem.trainer.evaluate.metrics import Floats, Ints

_CURVE_POINTS: Final = 200  # of the risk-coverage curve; more points would not be visible
_BARS: Final = 20
_SHARES: Final = ("accuracy", "precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """A model's metrics on all rows and by language; `point` and `samples` are the arrays behind `overall`."""

    overall: Slice
    by_lang: dict[str, Slice]
    point: dict[str, Floats]
    samples: dict[str, Floats]


def assess(
    rows: Sequence[Row],
    labels: Sequence[str],
    probabilities: ArrayLike,
    *,
    raw: ArrayLike | None = None,
    baseline: ArrayLike | None = None,
    curves: Sequence[CurvePoint] = (),
    notes: Sequence[str] = (),
    leaked: int = 0,
    seed: int = 42,
) -> Assessment:
    """Compare predictions with the rows' labels, on one row of each different text.

    Args:
        rows: the test rows; their labels are among `labels`.
        probabilities: calibrated, `[rows][labels]`.
        raw: the same before calibration.
        baseline: the baseline's probabilities for the same rows.
        leaked: the number of rows that are, or nearly are, training rows.
        seed: seeds the resamples; the same seed gives the same intervals.
    """
    predicted = np.asarray(probabilities, dtype=np.float64)
    scored_rows = score_rows(rows, predicted)
    kept, test_rows = distinct_rows(rows), len(rows)
    rows, predicted = [rows[index] for index in kept], predicted[kept]
    truth = np.array([labels.index(row.label) for row in rows])
    langs = {lang: np.array([row.lang == lang for row in rows]) for lang in sorted({row.lang for row in rows} - {""})}
    evaluation = _evaluate(truth, predicted, langs, seed)
    exact = metrics.ece_if_exact(predicted.max(axis=1), seed=seed)
    return Assessment(
        test_rows=test_rows,
        leaked=leaked,
        labels=tuple(labels),
        overall=evaluation.overall,
        by_lang=evaluation.by_lang,
        by_label={label: _label_slice(evaluation, truth, index) for index, label in enumerate(labels)},
        confusion=tuple(
            tuple(map(int, line)) for line in metrics.confusion(truth, predicted.argmax(axis=1), len(labels))
        ),
        before_calibration=None if raw is None else _evaluate(truth, np.asarray(raw)[kept], {}, seed).overall,
        ece_if_exact=_estimate(exact.mean(keepdims=True), exact),
        bins=tuple(reliability_bins(truth, predicted)),
        histogram=tuple(confidence_histogram(truth, predicted)),
        risk_coverage=tuple(risk_coverage_points(truth, predicted)),
        verdicts=() if leaked else tuple(metric_verdicts(evaluation.overall.metrics)),
        baseline=None
        if leaked or baseline is None
        else _compare(evaluation, _evaluate(truth, np.asarray(baseline)[kept], langs, seed)),
        mistakes=tuple(_mistakes(rows, labels, predicted)),
        curves=tuple(curves),
        notes=tuple(notes),
        scored_rows=scored_rows,
    )


def score_rows(rows: Sequence[Row], probabilities: Floats) -> tuple[ScoredRow, ...]:
    """The rows with a model's predictions, without texts."""
    return tuple(
        ScoredRow(digest=digest(row.text).hex(), label=row.label, probabilities=tuple(line), lang=row.lang)
        for row, line in zip(rows, probabilities.tolist(), strict=True)
    )


def reliability_bins(truth: Ints, probabilities: Floats) -> Iterator[ReliabilityBin]:
    """Accuracy against confidence in each bin of `metrics.bins_of`."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = metrics.bins_of(confidence)
    for number in np.unique(bins):
        members = bins == number
        interval = binomtest(int(correct[members].sum()), int(members.sum())).proportion_ci(method="wilson")
        accuracy = MetricEstimate(
            value=float(correct[members].mean()), low=float(interval.low), high=float(interval.high)
        )
        yield ReliabilityBin(rows=int(members.sum()), confidence=float(confidence[members].mean()), accuracy=accuracy)


def confidence_histogram(truth: Ints, probabilities: Floats) -> Iterator[HistogramBar]:
    """Counts of right and wrong predictions by confidence, in steps of 0.05."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    edges = np.linspace(0, 1, _BARS + 1)
    counts = [np.histogram(confidence[mask], edges)[0] for mask in (correct, ~correct)]
    for low, high, right, wrong in zip(edges, edges[1:], *counts, strict=False):
        if right or wrong or high > 1 / probabilities.shape[1]:  # the highest of L probabilities is at least 1/L
            yield HistogramBar(
                low=round(float(low), 3), high=round(float(high), 3), right=int(right), wrong=int(wrong)
            )


def risk_coverage_points(truth: Ints, probabilities: Floats) -> Iterator[RiskCoveragePoint]:
    """`metrics.risk_coverage`, thinned to as many points as are visible."""
    curve = np.stack(metrics.risk_coverage(truth, probabilities), axis=1)
    indices = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), _CURVE_POINTS)).round().astype(int))
    for confidence, coverage, risk in curve[indices].tolist():
        yield RiskCoveragePoint(confidence=confidence, coverage=coverage, risk=risk)


def write_html_report(folder: Path, assessment: Assessment, manifest: Manifest) -> None:
    """Write the page in both languages into a version's staged folder; it shows values of the manifest."""
    _write_private(folder / HTML_REPORT_FILE, render_html(assessment, manifest))
    _write_private(folder / HTML_REPORT_PT_FILE, render_html(assessment, manifest, portuguese=True))


def write_report(folder: Path, assessment: Assessment) -> dict[str, float]:
    """Write the report and the predictions into a version's staged folder; returns the metrics for its manifest.

    `write_html_report` writes the page separately, because it shows the version's number.
    """
    _write_private(folder / REPORT_FILE, assessment.model_dump_json(indent=1))
    write_predictions(folder / PREDICTIONS_FILE, assessment.scored_rows)
    metrics, config = manifest_metrics(assessment), folder / "config.json"
    cost = mflops_per_token(json.loads(config.read_text(encoding="utf-8"))) if config.exists() else None
    return metrics if cost is None else {**metrics, "mflops_per_token": cost}


def write_predictions(path: Path, rows: Sequence[ScoredRow]) -> None:
    """Write predictions on test rows, one line each."""
    path.write_text("".join(f"{row.model_dump_json()}\n" for row in rows), encoding="utf-8")


def register_with_report(registry: Registry, staged: Path, manifest: Manifest, assessment: Assessment) -> Manifest:
    """Register a staged version with its report, page, predictions and metrics."""
    metrics = write_report(staged, assessment)
    return registry.register(
        staged,
        manifest.model_copy(update={"metrics": metrics, "ece": metrics.get("ece")}),
        finish=partial(write_html_report, staged, assessment),
    )


def manifest_metrics(assessment: Assessment) -> dict[str, float]:
    """The manifest's metrics: all on the test rows, and macro-F1 for each language, of the model and the baseline."""
    values = {name: estimate.value for name, estimate in assessment.overall.metrics.items()}
    values |= {f"macro_f1_{lang}": part.metrics["macro_f1"].value for lang, part in assessment.by_lang.items()}
    if baseline := assessment.baseline:
        values["baseline_macro_f1"] = baseline.overall.metrics["macro_f1"].value
        values |= {
            f"baseline_macro_f1_{lang}": part.metrics["macro_f1"].value for lang, part in baseline.by_lang.items()
        }
    return {name: value for name, value in values.items() if value is not None}


def mflops_per_token(config: dict[str, Any]) -> float | None:
    """Millions of multiply-adds per token of a BERT-like encoder, from its `config.json`; None if unknown.

    Counts the four square matrices and the two feed-forward matrices of each layer. Attention is left out, because
    its cost depends on the length of the text. The figure compares the cost of versions without the noise of a
    benchmark.
    """
    layers, size, inner = (
        next((config[name] for name in names if name in config), None)
        for names in (("num_hidden_layers", "n_layers"), ("hidden_size", "dim"), ("intermediate_size", "hidden_dim"))
    )
    return layers * (4 * size**2 + 2 * size * inner) / 1e6 if layers and size and inner else None


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read: it quotes texts of customers."""
    path.touch(mode=0o600)
    path.write_text(text + "\n", encoding="utf-8")


def _slice(rows: int, point: dict[str, Floats], samples: dict[str, Floats]) -> Slice:
    estimates = {
        name: _estimate(value, samples[name], rows if name.removeprefix("macro_") in _SHARES else 0)
        for name, value in point.items()
        if value.ndim == 1
    }
    return Slice(rows=rows, metrics=estimates)


def _estimate(point: Floats, samples: Floats, rows: int = 0) -> MetricEstimate:
    """The metric with its interval. `rows`: the number of rows that it is a share of; 0 for other metrics.

    Resamples of rows without an error are all equal, so the interval of a share is then Wilson's.
    """
    if np.isnan(point[0]) or np.isnan(samples).all():
        return MetricEstimate(value=None, low=None, high=None)
    low, high = metrics.interval(samples)
    if rows and low == high:
        low, high = binomtest(round(point[0] * rows), rows).proportion_ci(method="wilson")
    return MetricEstimate(value=float(point[0]), low=float(low), high=float(high))


def _evaluate(truth: Ints, probabilities: Floats, langs: Mapping[str, NDArray[np.bool_]], seed: int) -> _Evaluation:
    whole, *parts = (
        (
            metrics.compute_metrics(truth[mask], probabilities[mask]),
            metrics.bootstrap(truth[mask], probabilities[mask], seed=seed),
        )
        for mask in (np.ones(len(truth), dtype=bool), *langs.values())
    )
    by_lang = {lang: _slice(int(mask.sum()), *part) for (lang, mask), part in zip(langs.items(), parts, strict=True)}
    return _Evaluation(_slice(len(truth), *whole), by_lang, *whole)


def _label_slice(evaluation: _Evaluation, truth: Ints, index: int) -> Slice:
    columns = {
        name: (evaluation.point[f"{name}_of"][:, index], evaluation.samples[f"{name}_of"][:, index])
        for name in _SHARES[1:]
    }
    rows = int((truth == index).sum())
    return Slice(rows=rows, metrics={name: _estimate(*column, rows) for name, column in columns.items()})


def _compare(model: _Evaluation, baseline: _Evaluation) -> BaselineComparison:
    difference = model.point["macro_f1"] - baseline.point["macro_f1"]
    gain = _estimate(difference, model.samples["macro_f1"] - baseline.samples["macro_f1"])
    langs = {lang: (part, baseline.by_lang[lang]) for lang, part in model.by_lang.items()}
    return BaselineComparison(
        overall=baseline.overall,
        by_lang=baseline.by_lang,
        gain=gain,
        sentence=compare_with_baseline(model.overall, baseline.overall, gain, langs),
        beaten=(gain.low or 0.0) > 0 and not languages_behind(langs),
    )


def _mistakes(rows: Sequence[Row], labels: Sequence[str], probabilities: Floats) -> Iterator[Misclassification]:
    """The wrong rows, most confident first.

    Reviewed tickets are left out: `triagem db forget` could not delete them here.
    """
    confidence, guess = probabilities.max(axis=1), probabilities.argmax(axis=1)
    for index in np.argsort(-confidence, kind="stable"):
        row, predicted = rows[index], labels[int(guess[index])]
        if row.label != predicted:
            yield Misclassification(
                text=WITHHELD.format(digest(row.text).hex()[:12]) if row.stratum else row.text,
                label=row.label,
                predicted=predicted,
                confidence=float(confidence[index]),
                lang=row.lang,
            )
