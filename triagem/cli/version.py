"""A model version for a person on a terminal: what it is, how good it is, what it mistakes for what."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import PAGE_FILE, REPORT_FILE, Manifest
from triagem.trainer.reading import NAMES, figure
from triagem.trainer.report import Assessment, Slice

_STYLES: Final = {"excellent": "green", "good": "green", "not yet good": "red"}


def report_of(folder: Path) -> Assessment | None:
    """A version's report; None if it was trained before there were any. Raises ModelCorrupt if it cannot be read."""
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
    """The manifest and, as far as there is one, the report."""
    thresholds = manifest.thresholds
    facts = {
        "base": manifest.base,
        "parent": manifest.parent or "-",
        "trained": f"{manifest.created_at.astimezone():%Y-%m-%d %H:%M} on {manifest.data.rows} rows",
        "labels": ", ".join(manifest.labels),
        "temperature": f"{manifest.temperature:.3f}",
        "bands": f"review under {thresholds.review:.3f}, and of the least sure {thresholds.review_budget:.1%}",
        "files": str(folder),
    }
    if cost := manifest.metrics.get("mflops_per_token"):
        facts["cost"] = f"{cost:.1f} million multiply-adds a token"
    _print_pairs(manifest.version, facts.items(), screen)
    if report is None:
        _print_pairs("metrics", ((name, f"{value:.3f}") for name, value in manifest.metrics.items()), screen)
        screen.print(f"no {REPORT_FILE}: trained before there were reports", style="dim", highlight=False)
        return
    _print_figures(report, screen)
    _print_slices("label", report.by_label, ("precision", "recall", "f1"), screen)
    if report.by_lang:
        _print_slices("language", report.by_lang, ("accuracy", "macro_f1", "ece"), screen)
    _print_confusion(report.labels, report.confusion, screen)
    screen.print(
        f"ECE of so many rows where confidence is exactly right: {figure(report.ece_if_exact)}", highlight=False
    )
    if report.baseline:
        style = "" if report.baseline.beaten else "yellow"
        screen.print(report.baseline.sentence, style=style, highlight=False, markup=False)
    screen.print(
        f"page, with plots and the mistakes: {folder / PAGE_FILE}", highlight=False, markup=False, soft_wrap=True
    )


def _print_figures(report: Assessment, screen: Console) -> None:
    beside = {"uncalibrated": report.before_calibration, "TF-IDF": report.baseline and report.baseline.overall}
    others = {name: one for name, one in beside.items() if one}
    readings = {reading.metric: reading for reading in report.readings}
    table = _table(f"{report.overall.rows} test rows", "95 % interval", *others)
    table.add_column("reading")
    for name, said in NAMES.items():
        reading = readings.get(name)
        verdict = Text(reading.verdict, _STYLES[reading.verdict]) if reading else Text()
        if reading and reading.surely != reading.verdict:
            verdict.append(f", surely {reading.surely}", "dim")
        values = (one.figures[name].value for one in others.values())
        plain = ("-" if value is None else f"{value:.3f}" for value in values)
        table.add_row(said, figure(report.overall.figures[name]), *plain, verdict)
    screen.print(table, "")


def _print_slices(kind: str, slices: dict[str, Slice], names: Sequence[str], screen: Console) -> None:
    table = _table(kind, "rows", *(NAMES[name].removesuffix(", weighted") for name in names))
    for label, one in slices.items():
        table.add_row(Text(label), str(one.rows), *(figure(one.figures[name]) for name in names))
    screen.print(table, "")


def _print_confusion(labels: Sequence[str], confusion: Sequence[Sequence[int]], screen: Console) -> None:
    table = _table("true ↓ said →", *labels)
    for label, line in zip(labels, confusion, strict=True):
        cells = (Text(str(count), "bold" if labels[place] == label else "") for place, count in enumerate(line))
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
