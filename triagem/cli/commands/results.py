"""`triagem results` and `triagem show`: lists results page by page, and prints one ticket with its history."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from triagem import servers
from triagem.cli.output import (
    Format,
    FormatOption,
    JsonFlag,
    as_mapping,
    console,
    errors,
    parse_time,
    print_json,
    print_rows,
    printable,
)
from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import clean, plain

_COLUMNS = (
    "source",
    "external_id",
    "label",
    "confidence",
    "band",
    "language",
    "reviewer",
    "model_version",
    "received_at",
)


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
    language: Annotated[
        str | None, typer.Option(help="The text's language, such as `pt`; `und` where it does not show.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of rows.")] = 50,
    after: Annotated[str | None, typer.Option(help="Cursor printed at the end of the previous page.")] = None,
    changed_since: Annotated[
        str | None,
        typer.Option(help="List changes of results instead, oldest first: after this cursor, or all with `start`."),
    ] = None,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """List results, newest first; or what changed since an earlier call.

    Examples: `triagem results --band review --since 2026-11-01 --format csv`,
    `triagem results --changed-since start --limit 1000 --format json`
    """
    if changed_since is not None:
        if any((label, band, source, since, until, model, language, after)):
            raise InvalidInput("--changed-since lists all changes: it allows only --limit and --format")
        _changes(None if changed_since == "start" else changed_since, limit, form)
        return
    database = servers.database()
    from triagem.db.tickets.queries import Filters, list_results

    filters = Filters(
        label, band, source, model, parse_time(since, "--since"), parse_time(until, "--until"), language
    )
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


def _changes(after: str | None, limit: int, form: Format) -> None:
    database = servers.database()
    from triagem.db.tickets.changes import list_changes

    with database:
        page = list_changes(database, limit=limit, after=after)
    if form is Format.JSON:
        print_json({"changes": [as_mapping(change) for change in page.rows], "after": page.after})
        return
    empty = dict.fromkeys(_COLUMNS)
    rows = [
        {**empty, **(as_mapping(change.result) if change.result else {}), **as_mapping(change)}
        for change in page.rows
    ]
    print_rows(rows, (*_COLUMNS, "forgotten"), form)
    if not rows:
        errors.print("no changes", highlight=False)
    errors.print(f"later changes: --changed-since {page.after}", markup=False, highlight=False, soft_wrap=True)


def show(
    source: Annotated[str, typer.Argument(help="Name of the CRM.")],
    external_id: Annotated[str, typer.Argument(help="Id of the ticket in that CRM.")],
    *,
    cleaned: Annotated[bool, typer.Option("--cleaned", help="Print the text as the model reads it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a ticket's text or messages, current result, history and reviews.

    Example: `triagem show zendesk 4711`
    """
    database = servers.database()
    from triagem.db.tickets.queries import find_ticket_with_history

    with database:
        record = find_ticket_with_history(database, source, external_id)
    if record is None:
        raise InvalidInput(f"no ticket {external_id!r} of source {source!r}")
    if as_json:
        print_json(record)
        return
    ticket = record.ticket
    text = clean(ticket["text"] or "") if cleaned and not record.messages else ticket["text"]
    if record.messages and not cleaned:
        print_thread(record.messages)
    else:
        console.print(printable(text or "(text purged)"), markup=False, highlight=False)
    console.print()
    if ticket["state"] == "classified":
        columns = (
            "label", "confidence", "band", "model_label", "reviewer", "model_version", "language", "tokens",
            "truncated",
        )  # fmt: skip
        print_rows([ticket], columns, Format.TABLE)
    else:
        console.print(f"no result: {ticket['state']}", highlight=False)
    if ticket["abstain_reason"]:
        console.print(f"no decision: {ticket['abstain_reason']}", highlight=False)
    console.print(
        f"\nreceived {ticket['received_at']:%Y-%m-%d %H:%M:%S%z}, revision {ticket['revision']}"
        f" written {ticket['revised_at']:%Y-%m-%d %H:%M:%S%z}"
    )
    if record.history:
        console.print("\n[bold]history[/bold]")
        history_columns = ("classified_at", "model_version", "label", "confidence", "band", "is_current")
        print_rows(record.history, history_columns, Format.TABLE)
    if record.reviews:
        console.print("\n[bold]reviews[/bold]")
        reviews = [{**review, "label": review["label"] or "(unclear)"} for review in record.reviews]
        print_rows(reviews, ("reviewed_at", "reviewer", "label"), Format.TABLE)


def print_thread(messages: Sequence[Mapping[str, Any]]) -> None:
    """Print the messages of a conversation, oldest first, with `*` before those that the label is about."""
    for message in messages:
        mark = "*" if message["classified"] else " "
        state = " (deleted)" if message["deleted_at"] else " (edited)" if message["edited_at"] else ""
        head = f"{mark} {message['written_at']:%Y-%m-%d %H:%M} {message['author']}{state}: "
        text = "" if message["deleted_at"] else plain(message["text"]) if message["text"] else "(text purged)"
        console.print(head + printable(text), markup=False, highlight=False, soft_wrap=True)
    console.print("* the label is about these messages", style="dim", highlight=False)
