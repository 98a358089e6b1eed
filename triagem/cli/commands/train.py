"""`triagem train`: trains a model version from a folder of labelled messages and registers it."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.table import Column, Table
from rich.text import Text

from triagem import servers
from triagem.cli.model_reports import describe_decision
from triagem.cli.options import ACTION_NEEDED, AsJson
from triagem.cli.output import errors, print_answer, print_lines
from triagem.cli.progress import progress
from triagem.cli.training_check import print_training_check, suspects_problem
from triagem.contracts.errors import MissingExtra, NotConfigured
from triagem.records.columns import quoted_column
from triagem.registry.decision import Promote, Reject
from triagem.trainer import TrainingReport, TrainSettings
from triagem.trainer import train as train_version
from triagem.trainer.settings import AUTO

_LINE_EVERY_S = 30.0
_LEAKAGE = (
    "--allow-leakage: if test rows are also training rows, no score counts and the gate cannot promote the version"
)
_UNVERIFIED = "(add --promote-unverified to make it current nevertheless)"
_NEXT = "classify with it: `triagem classify TEXT_OR_FILE`"


def train(
    data: Annotated[
        Path,
        typer.Argument(
            help="A file of training rows (CSV, JSON lines or Parquet), or a folder with a train file and, "
            "optionally, dev, calibration and test files."
        ),
    ],
    *,
    mapping: Annotated[
        str,
        typer.Option(
            "--map",
            help="Columns of text and label: `prompt=subject+body,completion=queue`; default: the usual names.",
        ),
    ] = "",
    label_column: Annotated[
        str, typer.Option(help="The column of the label, such as a queue or group; short for `--map completion=…`.")
    ] = "",
    label_map: Annotated[
        str, typer.Option(help="Each value's label, as Comercial=venda,N1=suporte; other rows are left out.")
    ] = "",
    crm: Annotated[
        str | None, typer.Option(help="Leave out tickets of this source if only Triagem set the label.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Labels in the order of the model's outputs, e.g. suporte,venda; others are errors."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the rows and report problems; train nothing.")
    ] = False,
    suspects: Annotated[
        Path | None, typer.Option(help="With --check: write all rows whose label looks wrong to this CSV file.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Base model, a hub id or a folder; default: TRIAGEM_TRAIN_BASE.")
    ] = None,
    parent: Annotated[
        str | None, typer.Option("--from", metavar="VERSION", help="Continue training a registered version.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Additional trainings for cross-validated calibration and weight averaging, with fewer than 10,000 "
            "rows; 0: none.",
        ),
    ] = None,
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Weight rare labels higher; this distorts confidences.")
    ] = False,
    promote: Annotated[bool, typer.Option(help="Make the version current if it passes the gate.")] = True,
    allow_leakage: Annotated[
        bool,
        typer.Option(
            "--allow-leakage", help="Train even if test rows are also training rows; then its scores do not count."
        ),
    ] = False,
    promote_unverified: Annotated[
        bool,
        typer.Option(
            "--promote-unverified",
            help="With --allow-leakage: make the version current although the gate rejects it; recorded in the log.",
        ),
    ] = False,
    queue: Annotated[bool, typer.Option("--queue", help="Only request a job, which `triagem trainer` runs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a BERT, calibrate it, compare it with a baseline, register it, and promote it through the gate.

    If training was interrupted, the same command resumes it. The exit status is 3 if the gate rejects the version;
    with --queue, `triagem jobs show ID --watch` has this status.

    Example: `triagem train examples`, and later `triagem train more --from v1.0.0`
    """
    if base and parent:
        raise typer.BadParameter("use either --base or --from: training starts from one model")
    if promote_unverified and not (allow_leakage and promote):
        raise typer.BadParameter("--promote-unverified needs --allow-leakage: any other version is up to the gate")
    if suspects and not check:
        raise typer.BadParameter("--suspects needs --check, which looks for them")
    if suspects and (problem := suspects_problem(suspects, data)):
        raise typer.BadParameter(f"--suspects: {problem}")
    if queue and (check or allow_leakage):
        raise typer.BadParameter(f"--queue cannot be combined with {'--check' if check else '--allow-leakage'}")
    if label_column and re.search(r"(?:^|,)\s*completion\s*=", mapping):
        raise typer.BadParameter("--label-column and completion= of --map name the same column: use one of them")
    registry = servers.registry()
    given = {
        "folds": folds,
        "class_weights": "balanced" if class_weights else None,
        "labels": labels,
        "columns": mapping + quoted_column("completion", label_column) or None,
        "label_map": label_map or None,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings = TrainSettings(**changes)
    if (chosen := AUTO if parent else base or settings.base) != AUTO and not queue:
        from triagem.trainer.fit.finetune import check_base

        check_base(chosen)
    own = _own_labels(crm) if crm and not queue else {}
    if check:
        print_training_check(
            data,
            registry,
            settings,
            parent=parent,
            allow_leakage=allow_leakage,
            own=own,
            suspects=suspects,
            as_json=as_json,
        )
        return
    if queue:
        from triagem.cli.commands.jobs import request_job
        from triagem.db.training_jobs import JobKind

        parameters = {
            "data": str(data.absolute()), "reviews": False, "base": base, "parent": parent,
            "settings": settings.model_dump(mode="json", include=settings.model_fields_set),
            "promote": "auto" if promote else "propose",
            "crm": crm,
        }  # fmt: skip
        request_job(JobKind.FULL, parameters, as_json=as_json)
        return
    if allow_leakage:
        errors.print(_LEAKAGE, "" if promote_unverified else _UNVERIFIED, highlight=False, soft_wrap=True)
    with _resumable(), progress("prepare") as update:
        report = train_version(
            data,
            registry,
            settings,
            ProgressReporter(update, errors),
            base=base,
            parent=parent,
            promote=promote,
            allow_leakage=allow_leakage,
            promote_unverified=promote_unverified,
            own=own,
        )
    if report.unverified or isinstance(report.gate, Promote):
        record_promotion(report.manifest.version)
    print_answer(report, describe_report(report), as_json=as_json)
    if isinstance(report.gate, Reject) and not report.unverified:
        raise typer.Exit(ACTION_NEEDED)


@contextmanager
def _resumable() -> Iterator[None]:
    """After Ctrl-C, print how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        print_lines("interrupted: the same command continues from the last checkpoint", screen=errors)
        raise


def record_promotion(version: str) -> None:
    """Add the promotion to the audit trail, if there is a database: a training needs none."""
    with suppress(NotConfigured, MissingExtra):
        servers.database_url()
        from triagem.cli.commands.access import record_or_note

        record_or_note("model.promote", version)


def _own_labels(crm: str) -> dict[str, str]:
    with servers.database() as database:
        from triagem.db.reviews.records import labels_only_ours

        return labels_only_ours(database, crm)


@dataclass
class ProgressReporter:
    """Prints notes and scores at once. Steps move a bar, or without a terminal print a line per tenth and 30 s."""

    update: Callable[..., None]
    screen: Console
    clock: Callable[[], float] = time.monotonic
    printed_tenths: int = 0
    printed_at: float = field(default_factory=time.monotonic)

    def on_notes(self, notes: Sequence[str]) -> None:
        print_lines(*(f"  {note}" for note in notes), screen=self.screen)

    def on_evaluation(self, done: int, total: int, metric: str, value: float) -> None:
        self.on_notes([f"step {done:,} of {total:,}: {metric} {value:.3f} on the dev rows"])

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        description = "fine-tune" if loss is None else f"fine-tune, loss {loss:.3f}"
        if done == total:
            description = "evaluate"
        self.update(completed=done, total=total, description=description)
        tenths = 10 * done // total
        is_due = tenths > self.printed_tenths or self.clock() - self.printed_at >= _LINE_EVERY_S
        if is_due and not self.screen.is_terminal:
            self.on_notes([f"{description}: step {done:,} of {total:,}"])
            self.printed_at = self.clock()
        self.printed_tenths = max(tenths, self.printed_tenths)


def describe_report(report: TrainingReport) -> Iterator[RenderableType]:
    """Notes on the outcome, scores next to the baseline's, calibration, and the gate's decision."""
    yield from (f"  {note}" for note in report.outcome_notes)
    version, assessment, baseline = report.manifest.version, report.assessment, report.assessment.baseline
    yield Text(f"{version} on {assessment.title}", "italic")
    table = Table("macro-F1", *(Column(part, justify="right") for part in ("all", *assessment.by_lang)))
    for name, scores in (("BERT", assessment), ("TF-IDF + logistic regression", baseline)):
        if scores:
            slices = (scores.overall, *scores.by_lang.values())
            table.add_row(name, *(f"{part.metrics['macro_f1'].value:.3f}" for part in slices))
    yield table
    if assessment.warning:
        yield Text(assessment.warning, "red")
    if baseline and not baseline.beaten:
        yield Text(baseline.sentence, "yellow")
    yield f"  {report.calibration.summary}"
    if before := assessment.before_calibration:
        after = assessment.overall.metrics
        nll, ece = (f"{before.metrics[name].value:.3f} → {after[name].value:.3f}" for name in ("nll", "ece"))
        yield f"  on the test rows: NLL {nll}, ECE {ece}"
    yield f"  {report.threshold.summary}"
    budget = report.manifest.thresholds.review_budget
    yield f"  the {budget:.1%} of tickets with the lowest confidence are always reviewed"
    if report.gate:
        yield from describe_decision(report.gate)
        if isinstance(report.gate, Promote):
            outcome = f"{version} is current; {_NEXT}"
        elif report.unverified:
            outcome = f"{version} is current, unverified; {_NEXT}"
        else:
            command = f"triagem models promote {version} --force --reason …"
            outcome = f"registered but not current; to promote it anyway: `{command}`"
        yield f"  {outcome}"
    yield f"  details: `triagem models show {version}`"
