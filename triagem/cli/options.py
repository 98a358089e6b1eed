"""Options that several commands have, and functions that parse their values."""

import sys
from collections.abc import Collection
from typing import Annotated, Any, Final

import typer

from triagem.cli.output import Format
from triagem.contracts.errors import InvalidInput
from triagem.contracts.moments import iso_time

# The exit status of a command that worked, and whose answer asks for action: rows rejected, training due, …
ACTION_NEEDED: Final = 3


def _prefer_json(context: typer.Context, value: bool) -> bool:
    if value:
        context.default_map = {"form": "json"}
    return value


def _refuse_json_too(context: typer.Context, form: Format) -> Format:
    if context.params.get("_json") and form is not Format.JSON:
        raise typer.BadParameter(f"--json is short for --format json: leave one of --json and --format {form} out")
    return form


FormatOption = Annotated[Format, typer.Option("--format", callback=_refuse_json_too, help="Output format.")]
JsonFlag = Annotated[
    bool, typer.Option("--json", is_eager=True, callback=_prefer_json, help="Short for `--format json`.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Ids = Annotated[list[int] | None, typer.Argument(min=1, max=2**63 - 1, help="Ids, as listed.")]
Source = Annotated[str, typer.Argument(help="Name of the CRM.")]
ExternalId = Annotated[str, typer.Argument(help="Id of the ticket in that CRM.")]
ModelVersion = Annotated[str | None, typer.Option(help="Model version; default: the current one.")]
Reviewer = Annotated[str | None, typer.Option(help="Name of the reviewer; default: the login name.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def confirm(question: str, *, yes: bool) -> None:
    """Ask before a deletion unless `--yes` was given. Raises InvalidInput if standard input is not a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(f"{question} Standard input is not a terminal: confirm with --yes")
    typer.confirm(question, abort=True, err=True)


def time_option(option: str, event: str) -> Any:
    """An option for a date or time. Its help text begins with `event`, such as "Texts received at or after"."""
    return typer.Option(
        parser=lambda value: iso_time(value, option),
        metavar="TIME",
        help=f"{event}: `2026-11-02`, or a date and time; UTC by default.",
    )


def require_selection(ids: Collection[int] | None, every: bool, **filters: str | None) -> None:
    """Raises BadParameter unless either ids or `--all` are given. Filters are allowed only with `--all`."""
    if bool(ids) == every:
        raise typer.BadParameter("give either ids or --all")
    for name, value in filters.items():
        if value is not None and not every:
            raise typer.BadParameter("requires --all", param_hint=f"--{name.replace('_', '-')}")
