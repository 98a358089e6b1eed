"""`triagem train`: a folder of labelled messages to a registered model version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from cli.output import console, errors, print_json, progress
from cli.parts import check as check_rows

if TYPE_CHECKING:
    from registry import Registry
    from trainer import TrainingReport, TrainSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    data: Annotated[
        Path,
        typer.Argument(help="A folder with train.jsonl (prompt, completion) and, if given, dev, calibration, test."),
    ],
    *,
    labels: Annotated[
        str | None, typer.Option(help="In the model's order, as in suporte,venda; any other is an error.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only look at the rows and say what is wrong with them.")
    ] = False,
    base: Annotated[str | None, typer.Option(help="A hub id or folder; default: TRIAGEM_TRAIN_BASE.")] = None,
    promote: Annotated[bool, typer.Option(help="Make the new version current.")] = True,
    allow_leakage: Annotated[bool, typer.Option(help="Go on although test rows are also training rows.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Fine-tune a BERT, evaluate it beside a plain baseline, and register it.

    Example: `triagem train examples`
    """
    from registry import Registry, RegistrySettings
    from trainer import TrainSettings

    registry = Registry(RegistrySettings().registry_url)
    settings = TrainSettings() if labels is None else TrainSettings(labels=labels)
    if check:
        check_rows(data, registry, settings, allow_leakage=allow_leakage, as_json=as_json)
        return
    report = fine_tune(data, registry, errors, settings, base=base, promote=promote, allow_leakage=allow_leakage)
    if as_json:
        print_json(report)
    else:
        print_report(report, console)


def fine_tune(
    data: Path,
    registry: Registry,
    screen: Console,
    settings: TrainSettings | None = None,
    *,
    base: str | None = None,
    promote: bool = True,
    allow_leakage: bool = False,
) -> TrainingReport:
    """Train with a progress bar on `screen`."""
    from trainer import TrainSettings, train

    with progress(screen) as shown:
        bar = _Bar(shown, shown.add_task("fine-tune", total=None))
        return train(
            data, registry, settings or TrainSettings(), bar, base=base, promote=promote, allow_leakage=allow_leakage
        )


@dataclass(frozen=True)
class _Bar:
    shown: Progress
    task: TaskID

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        described = "fine-tune" if loss is None else f"fine-tune, loss {loss:.3f}"
        if done == total:
            described = "evaluate"
        self.shown.update(self.task, completed=done, total=total, description=described)


def print_report(report: TrainingReport, screen: Console) -> None:
    """What the rows are, what the trainer changed of its settings, then the model's scores beside the baseline's."""
    for note in report.notes:
        screen.print(f"  {note}", markup=False, highlight=False)
    table = Table(title=f"{report.manifest.version} on {report.model.overall.rows} test rows", title_justify="left")
    table.add_column("macro-F1")
    for column in ("all", *report.model.by_lang):
        table.add_column(column, justify="right")
    for name, scores in (("BERT", report.model), ("TF-IDF + logistic regression", report.baseline)):
        figures = (scores.overall, *(scores.by_lang[lang] for lang in report.model.by_lang))
        table.add_row(name, *(f"{one.macro_f1:.3f}" for one in figures))
    screen.print(table)
