"""`triagem doctor`: what is wrong with this installation, and how to mend it."""

from typing import Annotated

import typer
from rich.table import Table

from triagem.cli.checks import Check, run_checks
from triagem.cli.output import as_mapping, console, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check packages, Redis, Postgres, the model and the workers; exit status 1 if something is wrong.

    Example: `triagem doctor`
    """
    checks = list(run_checks())
    if as_json:
        print_json([as_mapping(check) for check in checks])
    else:
        _print(checks)
    if any(check.wrong for check in checks):
        raise typer.Exit(1)


def _print(checks: list[Check]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        mark = "[red]✗[/red]" if check.wrong else "[green]✓[/green]"
        table.add_row(mark, check.what, (check.wrong or check.found).replace("[", r"\["))
    console.print(table)
