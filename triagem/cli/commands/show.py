"""`triagem show`: one ticket with everything known of it."""

from typing import Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import Format, console, print_json, print_rows, visible
from triagem.contracts.errors import InvalidInput


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(show)


def show(
    source: Annotated[str, typer.Argument(help="The CRM's name.")],
    external_id: Annotated[str, typer.Argument(help="The ticket's id in that CRM.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a ticket's text, current result, history and reviews.

    Example: `triagem show zendesk 4711`
    """
    database = servers.database()
    from triagem.db.queries import show

    with database:
        shown = show(database, source, external_id)
    if shown is None:
        raise InvalidInput(f"no ticket {external_id!r} of source {source!r}")
    if as_json:
        print_json(shown)
        return
    ticket = shown.ticket
    console.print(visible(ticket["text"] or "(text purged)"), markup=False, highlight=False)
    console.print()
    columns = ("label", "confidence", "band", "model_label", "reviewer", "model_version", "tokens", "truncated")
    print_rows([ticket], columns, Format.TABLE)
    console.print(
        f"\nreceived {ticket['received_at']:%Y-%m-%d %H:%M:%S%z}, written {ticket['revised_at']:%Y-%m-%d %H:%M:%S%z}"
    )
    console.print("\n[bold]history[/bold]")
    print_rows(
        shown.history, ("classified_at", "model_version", "label", "confidence", "band", "is_current"), Format.TABLE
    )
    if shown.reviews:
        console.print("\n[bold]reviews[/bold]")
        said = [{**review, "label": review["label"] or "(unclear)"} for review in shown.reviews]
        print_rows(said, ("reviewed_at", "reviewer", "label"), Format.TABLE)
