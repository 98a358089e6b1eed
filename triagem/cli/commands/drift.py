"""`triagem drift`: checks whether recent messages differ from those the model was trained for."""

from typing import Annotated, Final

import typer

from triagem.cli import servers
from triagem.cli.output import as_mapping, console, parse_time, print_json

DRIFTED: Final = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(drift)


def drift(
    *,
    model: Annotated[str | None, typer.Option(help="Model version; default: the current one.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Samples taken at or after: `2026-11-02`, or a date and time; UTC by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare samples of recent live tickets with a version's reference, and store the report.

    Exit status 3 on drift, 0 without drift or with too few samples. docs/training.md describes the method.

    Example: `triagem drift --since 2026-11-01`
    """
    database = servers.database()
    from triagem.registry import Registry, RegistrySettings
    from triagem.trainer.drift import check

    with database:
        report = check(
            database, Registry(RegistrySettings().registry_url), version=model, since=parse_time(since, "--since")
        )
    if as_json:
        print_json(as_mapping(report) | {"drifted": report.drifted})
    else:
        for line in report.lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if report.drifted:
        raise typer.Exit(DRIFTED)
