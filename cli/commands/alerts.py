"""`triagem alerts`: what is still to be told to a person."""

from typing import Annotated

import typer

from cli import servers
from cli.output import Format, as_mapping, print_rows

alerts = typer.Typer(no_args_is_help=True, help="What a person should know: doubtful tickets, drift, retraining.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(alerts, name="alerts")


@alerts.callback()
def _group() -> None:
    """Keeps `list` a word of its own while there is no other."""


@alerts.command("list")
def list_(
    *,
    kind: Annotated[str | None, typer.Option(help="low-confidence, drift, retraining-due or run-ended.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """List alerts that were not delivered yet, newest first.

    Example: `triagem alerts list --kind drift --format json`
    """
    from db.alerts import undelivered

    with servers.database() as database:
        rows = [as_mapping(one) for one in undelivered(database, kind=kind, limit=limit)]
    if form is Format.JSON:
        print_rows(rows, ("id", "kind", "about", "band", "confidence", "detail", "created_at"), form)
        return
    for row in rows:
        row["says"] = (row["detail"] or {}).get("says", row["band"])
    print_rows(rows, ("created_at", "kind", "about", "confidence", "says"), form)
