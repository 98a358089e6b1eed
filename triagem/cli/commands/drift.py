"""`triagem drift`: have the messages changed since the model was made?"""

from typing import Annotated, Final

import typer

from triagem.cli import servers
from triagem.cli.output import as_mapping, console, print_json, when

DRIFTED: Final = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(drift)


def drift(
    *,
    model: Annotated[str | None, typer.Option(help="The version; default: the current one.")] = None,
    since: Annotated[str | None, typer.Option(help="Samples taken at or after: `2026-11-02` or a time; UTC.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare recent live tickets with those a version was made for, and store what was found.

    Exit status 3 when they differ, 0 when they do not or there are too few to tell. docs/training.md says how.

    Example: `triagem drift --since 2026-11-01`
    """
    database = servers.database()
    from triagem.registry import Registry, RegistrySettings
    from triagem.trainer.drift import check

    with database:
        found = check(
            database, Registry(RegistrySettings().registry_url), version=model, since=when(since, "--since")
        )
    if as_json:
        print_json(as_mapping(found) | {"drifted": found.drifted})
    else:
        for line in found.lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if found.drifted:
        raise typer.Exit(DRIFTED)
