"""`triagem reclassify`: starts, watches, compares and applies runs that classify stored tickets again."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from textwrap import shorten
from typing import Annotated

import typer
from rich.console import RenderableType

from triagem import servers
from triagem.cli.commands.access import command_actor
from triagem.cli.options import AsJson, FormatOption, JsonFlag, ModelVersion
from triagem.cli.output import Format, as_mapping, cell, errors, plain_table, print_answer, print_lines, print_rows
from triagem.cli.progress import progress, progress_reporter
from triagem.contracts.errors import InvalidInput
from triagem.db import Database, runs
from triagem.db.runs import ReclassifyRun
from triagem.db.runs.diff import DiffGroup, RunDiff, diff_run
from triagem.db.runs.pages import count_tickets
from triagem.ops.reclassify import parse_run_filters
from triagem.ops.settings import OpsSettings, next_occurrence
from triagem.registry.history import refuse_archived

reclassify = typer.Typer(no_args_is_help=True, help="Classify stored tickets again: start, watch, compare, apply.")

_GROUP_COLUMNS = ("source", "month", "before", "after", "tickets", "confidence_before", "confidence_after")
_EXCERPT_CHARS = 80
_POLL_S = 0.5
_IDLE_S = 10.0
_Until = Annotated[
    str | None, typer.Option(help="Pause the run at this time of day, `HH:MM`; it continues the next night.")
]


@reclassify.command()
def start(
    *,
    model: ModelVersion = None,
    where: Annotated[
        str, typer.Option(help="Filters: label=…,band=…,source=…,model=…,model!=current,since=…,until=…")
    ] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of tickets.")] = None,
    until: _Until = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Store to the history only; results stay.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Include tickets that this version has classified.")] = False,
    notify_flips: Annotated[
        bool, typer.Option("--notify-flips", help="Send changed labels to the CRMs that subscribe to results.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; start nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a run over the stored tickets. `triagem ops` and `triagem beat` advance it, and workers classify.

    Example: `triagem reclassify start --model v1.1.0 --shadow --where source=zendesk,since=2026-10-01`
    """
    registry = servers.registry()
    current = registry.current()
    version = registry.manifest(model or current.version).version
    refuse_archived(version, registry.archived())
    if version != current.version and not shadow:
        raise InvalidInput(
            f"{version} is not the current version ({current.version}): promote it, or add --shadow to compare it"
        )
    if notify_flips and shadow:
        raise InvalidInput("--notify-flips cannot be combined with --shadow: a shadow run changes no label")
    filters = parse_run_filters(where, current.version)
    plan = runs.RunPlan(
        version, current.epoch, shadow=shadow, force=force or "cleaning" in filters, notify_flips=notify_flips,
        filters=filters, max_tickets=limit, pause_hour=until, pause_at=_next(until),
    )  # fmt: skip
    with servers.database() as database:
        if not dry_run:
            _print_run(runs.start(database, plan, command_actor()), as_json=as_json)
            return
        tickets = 0
        with progress("count tickets") as update:
            for counted in count_tickets(database, runs.preview(database, plan)):
                tickets += counted
                update(advance=counted)
    line = f"{tickets:,} tickets would be classified by {version}"
    print_answer({"version": version, "tickets": tickets}, [line], as_json=as_json)


@reclassify.command()
def status(
    run_id: Annotated[
        int | None, typer.Argument(metavar="RUN", min=1, help="Number of the run; default: the newest.")
    ] = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run has finished or is paused.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a run's progress, rate and estimated remaining time.

    Example: `triagem reclassify status --json`
    """
    with servers.database() as database:
        run = _find(database, run_id)
        _print_run(_wait_for(database, run) if wait else run, as_json=as_json)


@reclassify.command()
def pause(*, as_json: AsJson = False) -> None:
    """Stop putting tickets on the lane. Tickets already on it, about half a minute of work, are still classified.

    Example: `triagem reclassify pause`
    """
    _change(lambda database, run: runs.pause(database, run.id), as_json=as_json)


@reclassify.command()
def resume(*, until: _Until = None, as_json: AsJson = False) -> None:
    """Continue a paused run.

    Example: `triagem reclassify resume --until 06:00`
    """
    _change(
        lambda database, run: runs.resume(database, run.id, pause_at=_next(until or run.pause_hour)), as_json=as_json
    )


@reclassify.command()
def cancel(*, as_json: AsJson = False) -> None:
    """End the run. Results that it has written stay; its tickets that wait on the lane are skipped.

    Example: `triagem reclassify cancel`
    """

    _change(lambda database, run: runs.cancel(database, run.id, actor=command_actor()), as_json=as_json)


@reclassify.command()
def apply(
    *,
    model: Annotated[str, typer.Option(help="The version whose stored predictions become the results.")],
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the end. Ctrl-C stops the waiting, not the run.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Make a version's stored predictions the results, without running a model. To undo, apply the previous version.

    `triagem ops` does the work page by page, and this command waits for it. It first waits for a run that is active,
    such as the one after a promotion.

    Example: `triagem reclassify apply --model v1.1.0`
    """
    registry = servers.registry()
    version = registry.manifest(model).version
    current = registry.current()
    if version != current.version:
        print_lines(
            f"note: {version} is not the current version: workers go on classifying with {current.version}; "
            f"`triagem models promote {version}` changes that",
            screen=errors,
        )
    plan = runs.RunPlan(version, current.epoch, runs.APPLY)
    with servers.database() as database:
        while wait and (active := runs.find_active(database)) and active.state == "running":
            print_lines(f"run {active.id} is active and ends first", screen=errors)
            _wait_for(database, active)
        run = runs.start(database, plan, command_actor())
        _print_run(_wait_for(database, run) if wait else run, as_json=as_json)


@reclassify.command()
def diff(
    run_id: Annotated[
        int | None, typer.Argument(metavar="RUN", min=1, help="Number of the run; default: the newest with tickets.")
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=0, max=1000, help="Maximum number of changed labels to list.")] = 10,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """Show which labels a run changed, or a shadow run would change. The output contains customers' texts.

    Example: `triagem reclassify diff 7 --format csv`
    """
    with servers.database() as database:
        newest = runs.newest_runs(database, with_tickets=True) if run_id is None else []
        run = newest[0] if newest else _find(database, run_id)
        difference = diff_run(database, run.id, limit=limit)
    if form in {Format.CSV, Format.PARQUET}:  # all other figures can be computed from the groups
        print_rows(difference.groups, _GROUP_COLUMNS, form, types=[DiffGroup])
        return
    answer = {
        "run": run.id,
        "version": run.version,
        "tickets": difference.tickets,
        "flips": difference.flips,
        "share": difference.share,
        "confidence_shift": difference.confidence_shift,
        "groups": difference.groups,
        "most_confident_flips": difference.most_confident,
    }
    print_answer(answer, _describe_diff(run, difference), as_json=form is Format.JSON)


def _describe_diff(run: ReclassifyRun, difference: RunDiff) -> Iterator[RenderableType]:
    if run.active:
        yield f"run {run.id} is {run.state}, {run.processed:,} tickets so far: `triagem reclassify status` shows more"
    if not difference.tickets:
        yield f"{run.version}: no ticket of run {run.id} had a result before, so there is nothing to compare"
        return
    yield (
        f"{run.version} on {difference.tickets:,} tickets: {difference.flips:,} labels change "
        f"({difference.share:.1%}), confidence {difference.confidence_shift:+.3f} on average"
    )
    matrix = difference.matrix
    labels_before, labels_after = ({pair[index] for pair in matrix} for index in (0, 1))
    table = plain_table("before / after", *sorted(labels_after))
    for before in sorted(labels_before):
        table.add_row(cell(before), *(f"{matrix.get((before, after), 0):,}" for after in sorted(labels_after)))
    by_source = plain_table("source", "month", "tickets", "flips", "share")
    for (source, month), (tickets, flips) in difference.by_source_month.items():
        by_source.add_row(cell(source), month, f"{tickets:,}", f"{flips:,}", f"{flips / tickets:.1%}")
    yield from (table, by_source)
    for flip in difference.most_confident:
        reviewed = f", reviewed as {flip.reviewed}" if flip.reviewed else ""
        change = f"{flip.before} {flip.confidence_before:.2f} → {flip.after} {flip.confidence_after:.2f}{reviewed}"
        text = shorten(flip.text or "(purged)", _EXCERPT_CHARS, placeholder=" …")
        yield f"  {flip.source} {flip.external_id}  {change}  {text}"


def _wait_for(database: Database, run: ReclassifyRun) -> ReclassifyRun:
    """Show the progress until the run has finished or is paused."""
    with progress_reporter(f"run {run.id}") as report:
        started = time.monotonic()
        while run.state == "running":
            # Most tickets may need no apply: show the ids that were read.
            ids = run.cursor - run.first_id + 1, run.last_id - run.first_id + 1
            done, total = ids if run.kind == runs.APPLY else (run.processed, run.expected)
            idle = not done and time.monotonic() - started > _IDLE_S
            report(done, total, "waiting for triagem ops" if idle else run.reason)
            time.sleep(_POLL_S)
            run = _find(database, run.id)
    return run


def _print_run(run: ReclassifyRun, *, as_json: bool) -> None:
    computed = {"processed": run.processed, "expected": run.expected, "remaining_s": run.remaining_s}
    print_answer(as_mapping(run) | computed, _describe(run), as_json=as_json)


def _describe(run: ReclassifyRun) -> Iterator[str]:
    action = ("apply" if run.kind == "apply" else "classify by") + f" {run.version}"
    flags = "".join(f", {name}" for name in ("shadow", "force") if getattr(run, name))
    reason = f" ({run.reason})" if run.reason else ""
    yield f"run {run.id}: {action}{flags}: {run.state}{reason}"
    remaining = "" if run.remaining_s is None else f", {run.rate:,.0f}/s, about {_duration(run.remaining_s)} left"
    about = "about " if run.active and run.cursor < run.last_id else ""
    uncounted = run.active and not run.expected and run.cursor < run.last_id
    expected = "tickets are being counted" if uncounted else f"{run.processed:,} of {about}{run.expected:,} tickets"
    yield f"  {expected}{remaining}"
    outcomes = ("done", "unchanged", "changed", "gone", "failed", "flips")
    yield "  " + ", ".join(f"{getattr(run, name):,} {name}" for name in outcomes)
    if run.state == "done" and not run.put:
        yield "  " + (
            f"nothing to change: each result is {run.version}'s already, or {run.version} never classified that text"
            f": `triagem reclassify start --model {run.version} --shadow` does"
            if run.kind == runs.APPLY
            else f"nothing to classify: no stored ticket matches, or {run.version} has classified them all"
        )


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def _find(database: Database, run_id: int | None) -> ReclassifyRun:
    run = runs.find(database, run_id)
    if run is None:
        if run_id is None:
            raise InvalidInput("no run yet: `triagem reclassify start` starts one")
        raise InvalidInput(f"no such run: {run_id}; `triagem reclassify status` shows the newest")
    return run


def _change(change: Callable[[Database, ReclassifyRun], object], *, as_json: bool) -> None:
    """Change the active run, and print it."""
    with servers.database() as database:
        run = runs.find_active(database)
        if run is None:
            raise InvalidInput("no run is active: `triagem reclassify start` starts one")
        change(database, run)
        _print_run(_find(database, run.id), as_json=as_json)


def _next(until: str | None) -> datetime | None:
    return next_occurrence(until, OpsSettings().timezone, datetime.now(UTC))
