"""`triagem results`: lists results page by page, newest first."""

from typing import Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import Format, as_mapping, errors, parse_time, print_json, print_rows

_COLUMNS = ("source", "external_id", "label", "confidence", "band", "reviewer", "model_version", "received_at")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(results)


def results(
    *,
    label: Annotated[str | None, typer.Option(help="The effective label: `suporte` or `venda`.")] = None,
    band: Annotated[str | None, typer.Option(help="`automate`, `review` or `abstain`.")] = None,
    source: Annotated[str | None, typer.Option(help="Name of the CRM.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Received at or after: `2026-11-02`, or a date and time; UTC by default.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Received before this time.")] = None,
    model: Annotated[str | None, typer.Option(help="Model version, e.g. `v1.0.0`.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of rows.")] = 50,
    after: Annotated[str | None, typer.Option(help="Cursor printed at the end of the previous page.")] = None,
    form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
) -> None:
    """List results, newest first.

    Example: `triagem results --band review --since 2026-11-01 --format csv`
    """
    database = servers.database()
    from triagem.db.queries import Filters, list_results

    filters = Filters(label, band, source, model, parse_time(since, "--since"), parse_time(until, "--until"))
    with database:
        page = list_results(database, filters, limit=limit, after=after)
    rows = [as_mapping(row) for row in page.rows]
    if form is Format.JSON:
        print_json({"results": rows, "after": page.after})
        return
    print_rows(rows, _COLUMNS, form)
    if page.after:
        errors.print(f"next page: --after {page.after}", markup=False, highlight=False, soft_wrap=True)
    elif not rows:
        errors.print("no results", highlight=False)
