"""`triagem train`: a folder of labelled messages to a registered model version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from triagem.cli.output import console, errors, print_json, progress
from triagem.cli.parts import check as check_rows
from triagem.cli.verdict import print_verdict
from triagem.registry.decision import Reject

if TYPE_CHECKING:
    from triagem.registry import Registry
    from triagem.trainer import TrainingReport, TrainSettings


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
    parent: Annotated[
        str | None, typer.Option("--from", metavar="VERSION", help="Go on from a registered version.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=0, help="Trainings more to calibrate by and to blend, on under 10,000 rows; 0: none."),
    ] = None,
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Let rare labels weigh more; distorts confidences.")
    ] = False,
    promote: Annotated[bool, typer.Option(help="Make it current if the gate lets it through.")] = True,
    allow_leakage: Annotated[bool, typer.Option(help="Go on although test rows are also training rows.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Fine-tune a BERT, calibrate it, evaluate it beside a plain baseline, register it, and ask the gate.

    The same command goes on where a training was cut off.

    Example: `triagem train examples`, and later `triagem train more --from v1.0.0`
    """
    from triagem.registry import Registry, RegistrySettings
    from triagem.trainer import TrainSettings

    if base and parent:
        raise typer.BadParameter("a training begins with a base or with a version, not with both: --base or --from")
    changes: dict[str, Any] = {} if folds is None else {"folds": folds}
    changes |= {"class_weights": "balanced"} if class_weights else {}
    registry = Registry(RegistrySettings().registry_url)
    changes |= {} if labels is None else {"labels": labels}
    settings = TrainSettings(**changes)
    if check:
        check_rows(data, registry, settings, parent=parent, allow_leakage=allow_leakage, as_json=as_json)
        return
    report = fine_tune(
        data,
        registry,
        errors,
        settings,
        base=base,
        parent=parent,
        promote=promote,
        allow_leakage=allow_leakage,
    )
    if as_json:
        print_json(report)
    else:
        print_report(report, console)


def fine_tune(
    data: Path,
    registry: Registry,
    screen: Console,
    settings: TrainSettings,
    *,
    base: str | None = None,
    parent: str | None = None,
    promote: bool = True,
    allow_leakage: bool = False,
) -> TrainingReport:
    """Train with a progress bar on `screen`."""
    from triagem.trainer import train

    with progress(screen) as shown:
        bar = _Bar(shown, shown.add_task("fine-tune", total=None))
        return train(
            data,
            registry,
            settings,
            bar,
            base=base,
            parent=parent,
            promote=promote,
            allow_leakage=allow_leakage,
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
    """The rows, what was changed of the settings, scores beside the baseline's, how far confidences go, the gate."""
    for note in report.notes:
        screen.print(f"  {note}", markup=False, highlight=False)
    assessment, baseline = report.assessment, report.assessment.baseline
    table = Table(title=f"{report.manifest.version} on {assessment.overall.rows} test rows", title_justify="left")
    table.add_column("macro-F1")
    for column in ("all", *assessment.by_lang):
        table.add_column(column, justify="right")
    for name, one in (("BERT", assessment), ("TF-IDF + logistic regression", baseline)):
        if one:
            slices = (one.overall, *one.by_lang.values())
            table.add_row(name, *(f"{part.figures['macro_f1'].value:.3f}" for part in slices))
    screen.print(table)
    if baseline and not baseline.beaten:
        screen.print(baseline.sentence, style="yellow", highlight=False)
    before, after = assessment.before_calibration, assessment.overall
    lines = [report.calibration.line, report.threshold.line]
    lines.append(f"the least sure {report.manifest.thresholds.review_budget:.1%} are reviewed in any case")
    if before:
        nll, ece = (f"{before.figures[name].value:.3f} → {after.figures[name].value:.3f}" for name in ("nll", "ece"))
        lines.insert(1, f"on the test rows: NLL {nll}, ECE {ece}")
    for line in lines:
        screen.print(f"  {line}", markup=False, highlight=False)
    if report.gate:
        print_verdict(report.gate, screen)
        version = report.manifest.version
        if isinstance(report.gate, Reject):
            said = (
                f"registered, not current; in spite of all this: triagem models promote {version} --force --reason …"
            )
        else:
            said = f"{version} is current"
        screen.print(f"  {said}", markup=False, highlight=False, soft_wrap=True)
    screen.print(f"  `triagem models show {report.manifest.version}` says more", highlight=False)
