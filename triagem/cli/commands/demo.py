"""`triagem demo`: runs the whole pipeline once on sample data."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from triagem import servers
from triagem.cli.commands.train import ProgressReporter, describe_report
from triagem.cli.commands.up import prepare_database, run_processes
from triagem.cli.demo import DemoOutcome, OnProgress, classify_attached, classify_export, examples_folder
from triagem.cli.output import BAND_STYLES, as_mapping, cell, console, errors, print_answer, print_lines
from triagem.cli.processes import exit_on_sigterm
from triagem.cli.progress import StepTimer, progress
from triagem.db import Database
from triagem.servers import STACK_FOLDER
from triagem.stack import Endpoints, LocalStack
from triagem.trainer import TrainSettings, train


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the servers and a worker running until Ctrl-C.")] = False,
    attach: Annotated[
        bool, typer.Option("--attach", help="Use the servers set in the environment, and the workers running there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Start the local stack, train a model if there is none, and classify a CRM export, killing a worker midway.

    With `--attach`, for containers, the command starts nothing and kills no worker.

    Example: `triagem demo --keep`
    """
    if attach:
        if keep:
            raise typer.BadParameter("cannot be combined with --attach, which starts nothing", param_hint="--keep")
        _run_attached(as_json=as_json)
        return
    steps = StepTimer(errors if as_json else console)
    stack = LocalStack(STACK_FOLDER)
    exit_on_sigterm()
    with steps.step("start Redis and Postgres on this machine"):
        endpoints = stack.start()
    try:
        with steps.step("create tables and views"):
            prepare_database(endpoints)
        _ensure_model(steps)
        with Database(endpoints.database_url) as database, _progress(steps) as report:
            outcome = classify_export(endpoints, database, report)
        _print(outcome, steps, as_json=as_json)
        if not as_json:
            _print_next(outcome, endpoints, keep=keep)
        if keep:
            run_processes(endpoints, workers=1)
    finally:
        stack.stop()
    if outcome.lost:
        sys.exit(1)


def _run_attached(*, as_json: bool) -> None:
    steps = StepTimer(errors if as_json else console)
    inbox = servers.inbox()
    with servers.database() as database:
        _ensure_model(steps)
        with _progress(steps) as report:
            outcome = classify_attached(inbox, database, report)
    _print(outcome, steps, as_json=as_json)


@contextmanager
def _progress(steps: StepTimer) -> Iterator[OnProgress]:
    """A progress bar of the stored results, with the current phase."""
    with progress("enqueue", 200, screen=steps.console) as update:
        yield lambda rows, phase: update(completed=rows, description=phase)


def _ensure_model(steps: StepTimer) -> None:
    registry = servers.registry()
    if (current := registry.find_current()) is None:
        steps.console.print("fine-tune a small BERT on the sample tickets (only once; later runs reuse the model)")
        with steps.timed("fine-tune a small BERT"), progress("prepare", screen=steps.console) as update:
            settings = TrainSettings(folds=0)  # the folds of cross-validation would triple the time
            report = train(examples_folder(), registry, settings, ProgressReporter(update, steps.console))
        print_lines(*describe_report(report), screen=steps.console)
    else:
        with steps.step(f"verify the existing model {current.version}"):
            metrics = registry.verify(current.version).metrics
        scores = [f"{name} {value:.3f}" for name, value in metrics.items() if "macro_f1" in name]
        print_lines("  " + ", ".join(scores), screen=steps.console)


def _print(outcome: DemoOutcome, steps: StepTimer, *, as_json: bool) -> None:
    answer = as_mapping(outcome) | {"lost": outcome.lost, "seconds": steps.seconds}
    print_answer(answer, _describe(outcome), as_json=as_json)


def _describe(outcome: DemoOutcome) -> Iterator[RenderableType]:
    bands = [band for band in BAND_STYLES if any(band in row for row in outcome.counts.values())]
    styles = {band: BAND_STYLES[band] for band in bands} | {"tickets": "bold"}
    columns = (Column(name, justify="right", style=style) for name, style in styles.items())
    title = f"{outcome.rows:,} of {outcome.enqueued:,} tickets classified"
    table = Table("label", *columns, title=title, title_justify="left")
    for label, row in sorted(outcome.counts.items()):
        table.add_row(cell(label), *(str(row.get(band, 0)) for band in bands), str(sum(row.values())))
    yield from ("", table)

    title = "lowest confidence, for review by a person"
    confidence = Column("confidence", justify="right")
    uncertain = Table(Column("ticket", no_wrap=True), "label", confidence, "text", title=title, title_justify="left")
    for ticket in outcome.least_confident:
        text = ticket["text"] if len(ticket["text"]) <= 88 else ticket["text"][:87] + "…"
        values = (ticket["external_id"], ticket["label"], f"{ticket['confidence']:.2f}", text)
        uncertain.add_row(*map(cell, values))
    yield uncertain

    automated = sum(row.get("automate", 0) for row in outcome.counts.values()) / max(1, outcome.rows)
    rate = f", {outcome.busy_rate_per_s:.0f} texts/s while the model computes" if outcome.busy_rate_per_s else ""
    yield f"{automated:.0%} can be automated, {outcome.alerts} go to a person{rate}"
    color = "green" if not outcome.lost else "red"
    if outcome.killed_at is None:
        yield Text(f"{outcome.lost} lost", color)
    else:
        yield Text.assemble(
            (f"killed at {outcome.killed_at} of {outcome.enqueued}, {outcome.lost} lost", color),
            f": worker 1 got SIGKILL, worker 2 finished {outcome.recovery_s:.1f} s after it was started",
        )


def _print_next(outcome: DemoOutcome, endpoints: Endpoints, *, keep: bool) -> None:
    first = outcome.least_confident[0]["external_id"] if outcome.least_confident else "T-10001"
    lines = next_steps(outcome.source, first, environment=unactivated_environment(), keep=keep)
    print_lines("", Text("next steps", "bold"), *lines)
    if console.is_terminal:  # show the URL on a terminal only: a log must not contain its password
        print_lines(f"  psql '{endpoints.reader_url}'")


def unactivated_environment() -> Path | None:
    """The virtual environment of this process, if PATH lacks its commands."""
    if sys.prefix == sys.base_prefix or shutil.which("triagem") == str(Path(sys.prefix) / "bin" / "triagem"):
        return None
    folder = Path(sys.prefix)
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def next_steps(source: str, external_id: str, *, environment: Path | None, keep: bool) -> list[str]:
    """Commands to try after the demo, each with its purpose."""
    steps = [
        *([(f"source {environment}/bin/activate", "the command `triagem`")] if environment else []),
        *([] if keep else [("triagem up", "keep it running; continue in a second terminal")]),
        (f"triagem results --source {source} --band review", "for a person to check"),
        (f"triagem show {source} {external_id}", "one ticket with its history"),
        ("triagem keys create me --scope enqueue --scope read --scope review", "a key for the API and the console"),
    ]
    width = max(len(command) for command, _ in steps)
    guide = "docs/tutorials/first-steps.md submits the first ticket by HTTP and from Python"
    return [*(f"  {command:{width}}  # {purpose}" for command, purpose in steps), f"  {guide}"]
