"""Describes a model version with its metrics and confusion matrix, and the promotion gate's decision."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from pathlib import Path
from typing import Final

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from triagem.cli.output import plain_table
from triagem.contracts.assessment import Assessment, Slice, describe_rows
from triagem.contracts.model import HTML_REPORT_FILE, REPORT_FILE, Manifest
from triagem.registry.decision import CandidateMetrics, Comparison, Decision, Reject, Rule
from triagem.trainer.evaluate.interpretation import METRIC_NAMES, format_estimate

_STYLES: Final = {"excellent": "green", "good": "green", "not yet good": "red"}


def describe_version(manifest: Manifest, report: Assessment | None, folder: Path) -> Iterator[RenderableType]:
    """Lines and tables of the manifest and, if there is one, of the evaluation report."""
    thresholds = manifest.thresholds
    rows = {
        "base": manifest.base,
        "parent": manifest.parent or "-",
        "training started": f"{manifest.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, on "
        + describe_rows(manifest.data.rows, manifest.data.texts),
        "labels": ", ".join(manifest.labels),
        "temperature": f"{manifest.temperature:.3f}",
        "bands": (
            f"review under {thresholds.review:.3f}, and the {thresholds.review_budget:.1%} with the lowest confidence"
            if thresholds.automate
            else "everything is reviewed"
        ),
        "files": str(folder),
    }
    if cost := manifest.metrics.get("mflops_per_token"):
        rows["cost"] = f"{cost:.1f} million multiply-adds per token"
    yield from (_pairs_table(manifest.version, rows.items()), "")
    if report is None:
        metrics = ((name, f"{value:.3f}") for name, value in manifest.metrics.items())
        yield from (_pairs_table("metrics", metrics), "")
        yield f"no {REPORT_FILE}: trained by a release that wrote no reports"
        return
    if report.warning:
        yield Text(report.warning, "red")
    yield from (_metrics_table(report), "")
    yield from (_slices_table("label", report.by_label, ("precision", "recall", "f1")), "")
    if report.by_lang:
        yield from (_slices_table("language", report.by_lang, ("accuracy", "macro_f1", "ece")), "")
    yield from (_confusion_table(report.labels, report.confusion), "")
    ece = format_estimate(report.ece_if_exact)
    yield f"ECE of a perfectly calibrated model on the same number of rows: {ece}"
    if report.baseline:
        yield Text(report.baseline.sentence, "" if report.baseline.beaten else "yellow")
    yield f"HTML report with plots and errors: {folder / HTML_REPORT_FILE}"


def _metrics_table(report: Assessment) -> Table:
    optional = {"uncalibrated": report.before_calibration, "TF-IDF": report.baseline and report.baseline.overall}
    others = {name: scores for name, scores in optional.items() if scores}
    verdicts = {verdict.metric: verdict for verdict in report.verdicts}
    table = plain_table(report.title, "95% interval", *others)
    table.add_column("verdict")
    for metric, title in METRIC_NAMES.items():
        verdict = verdicts.get(metric)
        cell = Text(verdict.verdict, _STYLES[verdict.verdict]) if verdict else Text()
        if verdict and verdict.lower_bound_verdict != verdict.verdict:
            cell.append(f"; lower bound: {verdict.lower_bound_verdict}", "dim")
        values = (scores.metrics[metric].value for scores in others.values())
        other_cells = ("-" if value is None else f"{value:.3f}" for value in values)
        table.add_row(title, format_estimate(report.overall.metrics[metric]), *other_cells, cell)
    return table


def _slices_table(kind: str, slices: dict[str, Slice], names: Sequence[str]) -> Table:
    table = plain_table(kind, "rows", *(METRIC_NAMES[name].removesuffix(", weighted") for name in names))
    for label, part in slices.items():
        table.add_row(Text(label), str(part.rows), *(format_estimate(part.metrics[name]) for name in names))
    return table


def _confusion_table(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> Table:
    table = plain_table("true ↓ predicted →", *labels)
    for label, counts in zip(labels, confusion, strict=True):
        cells = (
            Text(str(count), "bold" if predicted == label else "")
            for predicted, count in zip(labels, counts, strict=True)
        )
        table.add_row(Text(label), *cells)
    return table


def _pairs_table(title: str, pairs: Iterable[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for name, value in pairs:
        table.add_row(Text(name, "dim"), Text(value))
    return table


def describe_decision(decision: Decision) -> Iterator[RenderableType]:
    """Lines and tables of the gate's decision with its evidence."""
    evidence = decision.evidence
    if evidence.candidate_metrics:
        metrics, comparison = evidence.candidate_metrics, evidence.comparison
        yield f"{metrics.rows:,} test rows, predicted by models that were not trained on them"
        yield _comparison_table(evidence.candidate, evidence.current, metrics, comparison)
        lines = _lines(evidence.rule, evidence.excluded_rows, metrics, comparison)
        yield from (f"  {line}" for line in lines)
    yield from (f"  {note}" for note in evidence.notes)
    opponent = f"against {evidence.current}" if evidence.current else "as a first version"
    if isinstance(decision, Reject):
        yield Text.assemble(("rejected", "red"), f": {evidence.candidate} {opponent}")
        yield from (Text.assemble("  ", ("·", "red"), f" {reason}") for reason in decision.reasons)
    else:
        yield Text.assemble(("passed", "green"), f": {evidence.candidate} {opponent}")


def _comparison_table(
    candidate: str, current: str | None, metrics: CandidateMetrics, comparison: Comparison | None
) -> Table:
    table = Table("", *(Column(name, justify="right") for name in (candidate, current) if name))

    def add_row(name: str, candidate_value: str, current_value: str) -> None:
        table.add_row(name, candidate_value, *([current_value] if current else []))

    add_row("accuracy", f"{metrics.accuracy:.3f}", f"{comparison.accuracy:.3f}" if comparison else "")
    for label, recall in metrics.recalls.items():
        current_recall = recall.current_true_positives
        add_row(
            f"recall of {escape(label)}, {recall.rows:,} rows",
            _share(recall.true_positives, recall.rows),
            "" if current_recall is None else _share(current_recall, recall.rows),
        )
    add_row("log loss (NLL)", f"{metrics.nll:.3f}", f"{comparison.nll:.3f}" if comparison else "")
    current_cost = comparison.mflops_per_token if comparison else None
    if metrics.mflops_per_token is not None or current_cost is not None:
        add_row("mflops_per_token", _format_cost(metrics.mflops_per_token), _format_cost(current_cost))
    return table


def _lines(
    rule: Rule | None, excluded_rows: int, metrics: CandidateMetrics, comparison: Comparison | None
) -> Iterator[str]:
    if comparison is None:
        yield f"always predicting the most frequent label would have accuracy {metrics.most_frequent:.3f}"
    else:
        p_value = f"McNemar's exact p {comparison.p_value:.3g}"
        yield f"rows gained: {comparison.gained:,}, lost: {comparison.lost:,}; {p_value}"
        gain = metrics.accuracy - comparison.accuracy
        yield f"difference in accuracy {gain:+.3f}, above {comparison.lower_bound:+.3f} with 95% confidence"
        event = (
            f"an equally good version passes {rule}"
            if rule is Rule.NON_INFERIOR
            else "a true difference of 0.02 is detected"
        )
        yield f"with about {comparison.rows_needed:,} rows, {event} 4 times in 5"
    if excluded_rows:
        yield f"{excluded_rows:,} more test rows are excluded: a version was trained on them"


def _share(part: int, rows: int) -> str:
    return f"{part / rows:.3f}" if rows else "-"


def _format_cost(cost: float | None) -> str:
    return "" if cost is None else f"{cost:.1f}"
