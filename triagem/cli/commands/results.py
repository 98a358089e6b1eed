"""`triagem results`: a page of results, newest first."""

from typing import Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import Format, as_mapping, errors, print_json, print_rows, when

_COLUMNS = ("source", "external_id", "label", "confidence", "band", "reviewer", "model_version", "received_at")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(results)


def results(
    *,
    label: Annotated[str | None, typer.Option(help="The effective label: `suporte` or `venda`.")] = None,
    band: Annotated[str | None, typer.Option(help="`automate`, `review` or `abstain`.")] = None,
    source: Annotated[str | None, typer.Option(help="The CRM's name.")] = None,
    since: Annotated[str | None, typer.Option(help="Received at or after: `2026-11-02` or a time; UTC.")] = None,
    until: Annotated[str | None, typer.Option(help="Received before.")] = None,
    model: Annotated[str | None, typer.Option(help="The model version, e.g. `v1.0.0`.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most rows.")] = 50,
    after: Annotated[
        str | None, typer.Option(help="The next page: the cursor that the former page ended with.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """List results, newest first.

    Example: `triagem results --band review --since 2026-11-01 --format csv`
    """
    database = servers.database()
    from triagem.db.queries import Filters, results

    filters = Filters(label, band, source, model, when(since, "--since"), when(until, "--until"))
    with database:
        page = results(database, filters, limit=limit, after=after)
    rows = [as_mapping(row) for row in page.rows]
    if form is Format.JSON:
        print_json({"results": rows, "after": page.after})
        return
    print_rows(rows, _COLUMNS, form)
    if page.after:
        errors.print(f"more: --after {page.after}", markup=False, highlight=False, soft_wrap=True)
    elif not rows:
        errors.print("no results", highlight=False)
