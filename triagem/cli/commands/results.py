"""`triagem results` and `triagem show`: lists results page by page, and prints one ticket with its history."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from triagem import servers
from triagem.cli.options import AsJson, ExternalId, FormatOption, JsonFlag, Source, time_option
from triagem.cli.output import (
    Format,
    as_mapping,
    console,
    errors,
    local_time,
    print_answer,
    print_json,
    print_lines,
    print_rows,
    rows_table,
)
from triagem.contracts.errors import InboxUnavailable, InvalidInput, NotConfigured
from triagem.contracts.prediction import Band
from triagem.contracts.result import Change, Result
from triagem.contracts.text import clean, plain
from triagem.contracts.ticket import Identity, identify
from triagem.db import Database
from triagem.db.tickets.changes import list_changes
from triagem.db.tickets.dead_letters import find_ticket_dead_letter
from triagem.db.tickets.known_values import known_values
from triagem.db.tickets.messages import MAX_SHOWN
from triagem.db.tickets.queries import Filters, TicketWithHistory, find_ticket_with_history, result_pages
from triagem.inbox.erase import find_entry

_COLUMNS = tuple(field.name for field in fields(Result))  # of a file, as by HTTP
_TABLE = (
    "source", "external_id", "label", "confidence", "band", "language", "reviewer", "model_version", "received_at",
)  # fmt: skip
_LEFT_OUT = ("language", "model_version")  # on a terminal below this width; `triagem show` prints them
_WIDTH = 110
_PAGE_SIZE = 50
_MAX_KNOWN = 20
_NO_RESULT = {
    "unlabelled": "there was no model; it gets one after a model is promoted",
    "waiting": "not classified yet; `triagem backlog` shows what waits",
    "failed": "it could not be classified; `triagem dead list` shows why",
}


def results(
    *,
    label: Annotated[str | None, typer.Option(help="The effective label, such as `suporte` or `venda`.")] = None,
    band: Annotated[Band | None, typer.Option(help="`automate`, `review` or `abstain`.")] = None,
    source: Annotated[str | None, typer.Option(help="Name of the CRM.")] = None,
    since: Annotated[datetime | None, time_option("--since", "Received at or after")] = None,
    until: Annotated[datetime | None, time_option("--until", "Received before")] = None,
    model: Annotated[str | None, typer.Option(help="Model version, e.g. `v1.0.0`.")] = None,
    language: Annotated[
        str | None, typer.Option(help="The text's language, such as `pt`; `und` if it is unknown.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of rows; default: all for CSV and Parquet, else 50.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="Cursor printed at the end of the previous page.")] = None,
    changed_since: Annotated[
        str | None,
        typer.Option(help="List changes of results after this cursor instead, oldest first; `start` lists all."),
    ] = None,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """List results, newest first; or, with --changed-since, the changes since an earlier call.

    Examples: `triagem results --band review --since 2026-11-01 --format csv`,
    `triagem results --changed-since start --limit 1000 --format json`
    """
    if changed_since is not None:
        if any((label, band, source, since, until, model, language, after)):
            raise InvalidInput("--changed-since lists all changes: it allows only --limit and --format")
        _changes(None if changed_since == "start" else changed_since, limit or _PAGE_SIZE, form)
        return
    if limit is None and form in {Format.TABLE, Format.JSON}:
        limit = _PAGE_SIZE
    filters = Filters(label, band, source, model, since, until, language and language.lower())
    last: str | None = None

    def read_rows(database: Database) -> Iterator[Result]:
        nonlocal last
        for page in result_pages(database, filters, limit=limit, after=after):
            last = page.after
            yield from page.rows

    with servers.database() as database:
        rows = read_rows(database)
        first = [*islice(rows, 1)]
        if form is Format.JSON:
            print_json({"results": [*first, *rows], "after": last})
            return
        empty = "no results; `triagem status` shows tickets that wait, and whether there is a model"
        if filters != Filters():
            unknown = () if first else _unknown_values(filters, known_values(database))
            empty = "; ".join(["no result matches these filters", *unknown])
        _print_results(map(as_mapping, chain(first, rows)), form, empty=empty)
    if last:
        incomplete = "" if form is Format.TABLE else "incomplete: there are more rows; "
        print_lines(f"{incomplete}next page: --after {last}", screen=errors)


def _unknown_values(filters: Filters, known: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Mistakes in filters that match nothing."""
    for name, values in known.items():
        if values and (value := getattr(filters, name)) is not None and value not in values:
            yield f"--{name} {value!r} is unknown, known: {', '.join(values[:_MAX_KNOWN])}"
    if filters.since and filters.until and filters.since >= filters.until:
        yield "--since is not before --until"


def _print_results(rows: Iterable[Mapping[str, Any]], form: Format, *more: str, empty: str) -> None:
    """Print results with `more` columns. A table has the columns that people read, fewer on a narrow terminal."""
    columns: Sequence[str] = _COLUMNS
    if form is Format.TABLE:
        hidden = _LEFT_OUT if console.is_terminal and console.width < _WIDTH else ()
        rows, columns = map(_verdict_marked, rows), [name for name in _TABLE if name not in hidden]
    print_rows(rows, (*columns, *more), form, empty=empty, types=[Change, Result])


def _verdict_marked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result for a table. A reviewer who could not determine the label is marked, as `ana (unclear)`."""
    return {**row, "reviewer": f"{row['reviewer']} (unclear)"} if row["unclear"] else row


def _changes(after: str | None, limit: int, form: Format) -> None:
    with servers.database() as database:
        page = list_changes(database, limit=limit, after=after)
    if form is Format.JSON:
        print_json({"changes": page.rows, "after": page.after})
        return
    empty = dict.fromkeys(_COLUMNS)
    rows = [
        {**empty, **(as_mapping(change.result) if change.result else {}), **as_mapping(change)}
        for change in page.rows
    ]
    _print_results(rows, form, "forgotten", empty="no changes")
    print_lines(f"later changes: --changed-since {page.after}", screen=errors)


def show(
    source: Source,
    external_id: ExternalId,
    *,
    cleaned: Annotated[bool, typer.Option("--cleaned", help="Print the text as the model reads it.")] = False,
    all_: Annotated[
        bool, typer.Option("--all", help="Print all messages, predictions and reviews, not only the newest 200 each.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a ticket's text or messages, current result, history and reviews.

    Example: `triagem show zendesk 4711`
    """
    ticket = identify(source, external_id)
    with servers.database() as database:
        record = find_ticket_with_history(database, *ticket, limit=None if all_ else MAX_SHOWN)
        if record is None:
            raise InvalidInput(_why_not_stored(database, ticket))
    print_answer(record, _describe(record, cleaned=cleaned), as_json=as_json)


def _why_not_stored(database: Database, ticket: Identity) -> str:
    """The reason why a ticket has no row: it waits in the inbox, failed, or is unknown."""
    name = f"ticket {ticket.external_id!r} of source {ticket.source!r}"
    if letter := find_ticket_dead_letter(database, ticket):
        return f"{name} could not be processed: `triagem dead show {letter.id}`"
    try:
        entry = find_entry(servers.inbox(), ticket)
    except (InboxUnavailable, NotConfigured):
        return f"no {name} is stored; Redis does not answer, so it may wait in the inbox: `triagem backlog`"
    if entry is None:
        return f"no {name} is stored, nor among the newest in the inbox: check source and id, then `triagem backlog`"
    since = local_time(datetime.fromtimestamp(entry.put_at, UTC))
    return f"{name} is not stored yet: it has been waiting in the inbox since {since}; see `triagem backlog`"


def _describe(record: TicketWithHistory, *, cleaned: bool) -> Iterator[RenderableType]:
    ticket = record.ticket
    text = clean(ticket["text"] or "") if cleaned and not record.messages else ticket["text"]
    if record.messages and not cleaned:
        yield from _older("messages", record.older_messages)
        yield from describe_thread(record.messages)
    else:
        yield text or "(text purged)"
    yield ""
    if ticket["state"] == "classified":
        columns = (
            "label", "confidence", "band", "model_label", "reviewer", "model_version", "language", "tokens",
            "truncated",
        )  # fmt: skip
        yield rows_table([_verdict_marked(ticket)], columns)
    else:
        yield f"no result: {_NO_RESULT[ticket['state']]}"
    if ticket["abstain_reason"]:
        yield f"no decision: {ticket['abstain_reason']}"
    yield (
        f"\nreceived {local_time(ticket['received_at'])}, revision {ticket['revision']}"
        f" written {local_time(ticket['revised_at'])}"
    )
    if record.history:
        yield Text("\nhistory", "bold")
        history_columns = ("classified_at", "model_version", "label", "confidence", "band", "is_current")
        yield rows_table(record.history, history_columns)
        yield from _older("predictions", record.older_history)
    if record.reviews:
        yield Text("\nreviews", "bold")
        reviews = [{**review, "label": review["label"] or "(unclear)"} for review in record.reviews]
        written = [name for name in ("comment", "proposal") if any(review[name] for review in reviews)]
        yield rows_table(reviews, ("reviewed_at", "reviewer", "label", *written))
        if ticket["disputed"]:
            yield "disputed: not more than half of the reviewers agree with the latest review"
        yield from _older("reviews", record.older_reviews)


def _older(name: str, number: int) -> Iterator[Text]:
    """A line about rows that were left out."""
    if number:
        yield Text(f"older {name} not shown: {number:,}; --all prints them", "dim")


def describe_thread(messages: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """The messages of a conversation, oldest first. `*` marks the messages that the label is about."""
    for message in messages:
        mark = "*" if message["classified"] else " "
        state = " (deleted)" if message["deleted_at"] else " (edited)" if message["edited_at"] else ""
        head = f"{mark} {local_time(message['written_at'])} {message['author']}{state}: "
        text = "" if message["deleted_at"] else plain(message["text"]) if message["text"] else "(text purged)"
        yield head + text
    yield Text("* the label is about these messages", "dim")
