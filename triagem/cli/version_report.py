"""Prints a model version: manifest, metrics with confidence intervals, and confusion matrix."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import HTML_REPORT_FILE, REPORT_FILE, Manifest
from triagem.trainer.interpretation import METRIC_NAMES, format_estimate
from triagem.trainer.report import Assessment, Slice

_STYLES: Final = {"excellent": "green", "good": "green", "not yet good": "red"}


def load_report(folder: Path) -> Assessment | None:
    """A version's evaluation report; None if the version has none. Raises ModelCorrupt if it cannot be read."""
    path = folder / REPORT_FILE
    try:
        return Assessment.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ModelCorrupt(
            f"{path} cannot be read ({type(error).__name__}): another release may have written it"
        ) from error


def print_version(manifest: Manifest, report: Assessment | None, folder: Path, screen: Console) -> None:
    """Print the manifest and, if there is one, the evaluation report."""
    thresholds = manifest.thresholds
    rows = {
        "base": manifest.base,
        "parent": manifest.parent or "-",
        "trained": f"{manifest.created_at.astimezone():%Y-%m-%d %H:%M} on {manifest.data.rows} rows",
        "labels": ", ".join(manifest.labels),
        "temperature": f"{manifest.temperature:.3f}",
        "bands": (
            f"review under {thresholds.review:.3f}, and the {thresholds.review_budget:.1%} with the lowest confidence"
        ),
        "files": str(folder),
    }
    if cost := manifest.metrics.get("mflops_per_token"):
        rows["cost"] = f"{cost:.1f} million multiply-adds per token"
    _print_pairs(manifest.version, rows.items(), screen)
    if report is None:
        _print_pairs("metrics", ((name, f"{value:.3f}") for name, value in manifest.metrics.items()), screen)
        screen.print(f"no {REPORT_FILE}: trained by a release that wrote no reports", style="dim", highlight=False)
        return
    _print_metrics(report, screen)
    _print_slices("label", report.by_label, ("precision", "recall", "f1"), screen)
    if report.by_lang:
        _print_slices("language", report.by_lang, ("accuracy", "macro_f1", "ece"), screen)
    _print_confusion(report.labels, report.confusion, screen)
    screen.print(
        f"ECE of a perfectly calibrated model on the same number of rows: {format_estimate(report.ece_if_exact)}",
        highlight=False,
    )
    if report.baseline:
        style = "" if report.baseline.beaten else "yellow"
        screen.print(report.baseline.sentence, style=style, highlight=False, markup=False)
    screen.print(
        f"HTML report with plots and errors: {folder / HTML_REPORT_FILE}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _print_metrics(report: Assessment, screen: Console) -> None:
    optional = {"uncalibrated": report.before_calibration, "TF-IDF": report.baseline and report.baseline.overall}
    others = {name: scores for name, scores in optional.items() if scores}
    verdicts = {verdict.metric: verdict for verdict in report.verdicts}
    table = _table(f"{report.overall.rows} test rows", "95% interval", *others)
    table.add_column("verdict")
    for metric, title in METRIC_NAMES.items():
        verdict = verdicts.get(metric)
        cell = Text(verdict.verdict, _STYLES[verdict.verdict]) if verdict else Text()
        if verdict and verdict.lower_bound_verdict != verdict.verdict:
            cell.append(f"; lower bound: {verdict.lower_bound_verdict}", "dim")
        values = (scores.metrics[metric].value for scores in others.values())
        other_cells = ("-" if value is None else f"{value:.3f}" for value in values)
        table.add_row(title, format_estimate(report.overall.metrics[metric]), *other_cells, cell)
    screen.print(table, "")


def _print_slices(kind: str, slices: dict[str, Slice], names: Sequence[str], screen: Console) -> None:
    table = _table(kind, "rows", *(METRIC_NAMES[name].removesuffix(", weighted") for name in names))
    for label, part in slices.items():
        table.add_row(Text(label), str(part.rows), *(format_estimate(part.metrics[name]) for name in names))
    screen.print(table, "")


def _print_confusion(labels: Sequence[str], confusion: Sequence[Sequence[int]], screen: Console) -> None:
    table = _table("true ↓ predicted →", *labels)
    for label, counts in zip(labels, confusion, strict=True):
        cells = (
            Text(str(count), "bold" if predicted == label else "")
            for predicted, count in zip(labels, counts, strict=True)
        )
        table.add_row(Text(label), *cells)
    screen.print(table, "")


def _print_pairs(title: str, pairs: Iterable[tuple[str, str]], screen: Console) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for name, value in pairs:
        table.add_row(Text(name, "dim"), Text(value))
    screen.print(table, "")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(Text(first), no_wrap=True)
    for name in others:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table
