"""`triagem reclassify`: stored tickets classified again, in pages, by `triagem ops`; compared, and taken back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triagem.cli import servers
from triagem.cli.output import Format, as_mapping, console, errors, print_json, progress
from triagem.contracts.errors import InvalidInput

if TYPE_CHECKING:
    from triagem.db.runs import Run

reclassify = typer.Typer(no_args_is_help=True, help="Stored tickets classified again: start, watch, compare, apply.")

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Until = Annotated[str | None, typer.Option(help="`HH:MM`: pause then, and go on the next night.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(reclassify, name="reclassify")


@reclassify.command()
def start(
    *,
    model: Annotated[str | None, typer.Option(help="The version; default: the current one.")] = None,
    where: Annotated[str, typer.Option(help="label=…,band=…,source=…,model=…,model!=current,since=…,until=…")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many tickets.")] = None,
    until: _Until = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Into the history only: results stay.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also compute what the version has said already.")] = False,
    tell_flips: Annotated[
        bool, typer.Option("--tell-flips", help="Tell CRMs that want results back the labels that change.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: _Json = False,
) -> None:
    """Begin a run over the stored tickets. `triagem ops` and `triagem beat` carry it on, workers classify.

    Example: `triagem reclassify start --model v1.1.0 --shadow --where source=zendesk,since=2026-10-01`
    """
    from triagem.db import runs
    from triagem.db.run_pages import wanted
    from triagem.producer.reclassify.where import filters

    registry, zone = _registry(), _zone()
    current = registry.current()
    version = registry.manifest(model or current.version).version
    if version != current.version and not shadow:
        raise InvalidInput(
            f"{version} is not current ({current.version} is): promote it first, or compare it with --shadow"
        )
    if tell_flips and shadow:
        raise InvalidInput("--tell-flips: a shadow run changes no label, so there is nothing to tell")
    chosen = filters(where, current.version)
    plan = runs.Plan(
        version, current.epoch, shadow=shadow, force=force, tell_flips=tell_flips, filters=chosen, most=limit,
        until=until, pause_at=_next(until, zone),
    )  # fmt: skip
    with servers.database() as database:
        if not dry_run:
            _say(runs.start(database, plan), as_json=as_json)
            return
        with progress(errors) as bar:
            task, found = bar.add_task("look at tickets", total=None), 0
            for more in wanted(database, runs.imagine(database, plan)):
                found += more
                bar.advance(task, more)
    if as_json:
        print_json({"version": version, "tickets": found})
    else:
        console.print(f"{found:,} tickets would be classified by {version}", highlight=False)


@reclassify.command()
def status(
    run: Annotated[int | None, typer.Argument(min=1, help="The run's number; default: the newest.")] = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended or is paused.")] = False,
    as_json: _Json = False,
) -> None:
    """How far a run is, how fast, and when it will be done.

    Example: `triagem reclassify status --json`
    """
    import time

    with servers.database() as database, progress(errors) as bar:
        found = _found(database, run)
        task = bar.add_task(f"run {found.id}", total=None) if wait else None
        while task is not None and found.state == "running":
            bar.update(task, completed=found.settled, total=max(found.expected, found.settled) or None)
            time.sleep(1)
            found = _found(database, found.id)
    _say(found, as_json=as_json)


@reclassify.command()
def pause(*, as_json: _Json = False) -> None:
    """Put no more tickets on the lane. What is on it already, half a minute's work, is still classified.

    Example: `triagem reclassify pause`
    """
    from triagem.db import runs

    with servers.database() as database:
        found = _active(database)
        runs.pause(database, found.id)
        _say(_found(database, found.id), as_json=as_json)


@reclassify.command()
def resume(*, until: _Until = None, as_json: _Json = False) -> None:
    """Go on from where the run was paused.

    Example: `triagem reclassify resume --until 06:00`
    """
    from triagem.db import runs

    zone = _zone()
    with servers.database() as database:
        found = _active(database)
        runs.resume(database, found.id, pause_at=_next(until or found.until, zone))
        _say(_found(database, found.id), as_json=as_json)


@reclassify.command()
def cancel(*, as_json: _Json = False) -> None:
    """End the run. What it has classified stays; what waits on the lane is not looked at.

    Example: `triagem reclassify cancel`
    """
    from triagem.db import runs

    with servers.database() as database:
        found = _active(database)
        runs.cancel(database, found.id)
        _say(_found(database, found.id), as_json=as_json)


@reclassify.command()
def apply(
    *,
    model: Annotated[str, typer.Option(help="The version whose stored predictions become the results.")],
    as_json: _Json = False,
) -> None:
    """Point results at what a version said of the same texts, without any model. The way back is the former version.

    Example: `triagem reclassify apply --model v1.1.0`
    """
    from triagem.db import runs

    registry = _registry()
    version = registry.manifest(model).version
    with servers.database() as database:
        _say(runs.start(database, runs.Plan(version, registry.current().epoch, runs.APPLY)), as_json=as_json)


@reclassify.command()
def diff(
    run: Annotated[int, typer.Argument(min=1, help="The run's number.")],
    *,
    most: Annotated[int, typer.Option(min=0, max=1000, help="Most flips with their texts.")] = 10,
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """What a run changed, or in the shadow would change: customers' texts are in it.

    Example: `triagem reclassify diff 7 --format csv`
    """
    from triagem.cli.run_diff import print_diff
    from triagem.db.run_diff import diff

    with servers.database() as database:
        found = _found(database, run)
        print_diff(found, diff(database, found.id, most=most), form)


def _say(run: Run, *, as_json: bool) -> None:
    if as_json:
        print_json(
            as_mapping(run) | {"settled": run.settled, "expected": run.expected, "remaining_s": run.remaining_s}
        )
        return
    what = ("apply" if run.kind == "apply" else "classify by") + f" {run.version}"
    more = "".join(f", {word}" for word in ("shadow", "force") if getattr(run, word))
    why = f" ({run.why})" if run.why else ""
    console.print(f"run {run.id}: {what}{more}: {run.state}{why}", markup=False, highlight=False)
    left = "" if run.remaining_s is None else f", {run.rate:,.0f}/s, about {_spoken(run.remaining_s)} to go"
    about = "about " if run.active and run.cursor < run.last_id else ""
    console.print(f"  {run.settled:,} of {about}{run.expected:,} tickets{left}", markup=False, highlight=False)
    counts = ("done", "unchanged", "changed", "gone", "failed", "flips")
    said = ", ".join(f"{getattr(run, name):,} {name}" for name in counts)
    console.print(f"  {said}", markup=False, highlight=False)


def _spoken(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def _found(database: Any, run_id: int | None) -> Run:
    from triagem.db import runs

    found = runs.find(database, run_id)
    if found is None:
        raise InvalidInput("there is no such run: `triagem reclassify start` begins one")
    return found


def _active(database: Any) -> Run:
    from triagem.db import runs

    found = runs.active(database)
    if found is None:
        raise InvalidInput("no run is active: `triagem reclassify start` begins one")
    return found


def _registry() -> Any:
    from triagem.registry import Registry, RegistrySettings

    return Registry(RegistrySettings().registry_url)


def _zone() -> str:
    from triagem.worker.settings import OpsSettings

    return OpsSettings().timezone


def _next(until: str | None, zone: str) -> datetime | None:
    from triagem.producer.reclassify.settings import next_time

    return next_time(until, zone, datetime.now(UTC))
