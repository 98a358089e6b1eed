"""`triagem show`: prints one ticket with its result, history and reviews."""

from typing import Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import Format, console, print_json, print_rows, printable
from triagem.contracts.errors import InvalidInput


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(show)


def show(
    source: Annotated[str, typer.Argument(help="Name of the CRM.")],
    external_id: Annotated[str, typer.Argument(help="Id of the ticket in that CRM.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a ticket's text, current result, history and reviews.

    Example: `triagem show zendesk 4711`
    """
    database = servers.database()
    from triagem.db.queries import find_ticket_with_history

    with database:
        record = find_ticket_with_history(database, source, external_id)
    if record is None:
        raise InvalidInput(f"no ticket {external_id!r} of source {source!r}")
    if as_json:
        print_json(record)
        return
    ticket = record.ticket
    console.print(printable(ticket["text"] or "(text purged)"), markup=False, highlight=False)
    console.print()
    columns = ("label", "confidence", "band", "model_label", "reviewer", "model_version", "tokens", "truncated")
    print_rows([ticket], columns, Format.TABLE)
    console.print(
        f"\nreceived {ticket['received_at']:%Y-%m-%d %H:%M:%S%z}, revised {ticket['revised_at']:%Y-%m-%d %H:%M:%S%z}"
    )
    console.print("\n[bold]history[/bold]")
    print_rows(
        record.history, ("classified_at", "model_version", "label", "confidence", "band", "is_current"), Format.TABLE
    )
    if record.reviews:
        console.print("\n[bold]reviews[/bold]")
        reviews = [{**review, "label": review["label"] or "(unclear)"} for review in record.reviews]
        print_rows(reviews, ("reviewed_at", "reviewer", "label"), Format.TABLE)
