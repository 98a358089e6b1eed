"""`triagem doctor`: checks this installation and says how to fix each problem."""

from typing import Annotated

import typer
from rich.table import Table

from triagem.cli.doctor_checks import CheckResult, run_checks
from triagem.cli.output import as_mapping, console, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check packages, machine, Redis, inbox, Postgres and model. Exit status 1 if there is a problem.

    Example: `triagem doctor`
    """
    results = list(run_checks())
    if as_json:
        print_json([as_mapping(result) for result in results])
    else:
        _print(results)
    if any(result.problem for result in results):
        raise typer.Exit(1)


def _print(results: list[CheckResult]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for result in results:
        mark = "[red]✗[/red]" if result.problem else "[green]✓[/green]"
        table.add_row(mark, result.check, (result.problem or result.detail).replace("[", r"\["))
    console.print(table)
