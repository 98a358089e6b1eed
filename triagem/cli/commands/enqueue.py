"""`triagem enqueue`: a file or standard input into the inbox."""

import io
import sys
from typing import Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import console, errors, print_json, progress
from triagem.contracts.ticket import Lane
from triagem.producer.load import Summary, load
from triagem.producer.mapping import brief, field_map
from triagem.producer.publisher import Publisher
from triagem.producer.rows import Format, open_text, rows

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(enqueue)


def enqueue(
    file: Annotated[str, typer.Argument(help="A JSONL or CSV file, or `-` for standard input.")],
    *,
    source: Annotated[str, typer.Option(help="The CRM's name, for records that carry none.")] = "import",
    lane: Annotated[
        Lane, typer.Option(help="`live` for customers who wait now, `bulk` for old tickets.")
    ] = Lane.LIVE,
    mapping: Annotated[
        str | None,
        typer.Option("--map", help="`field=column,…`; join columns with `+`: `external_id=id,text=subject+body`."),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="`jsonl` or `csv`; default: by the first line.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad line.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Put the tickets of a file into the inbox. A bad line never stops the file.

    Example: `triagem enqueue export.csv --source zendesk --map external_id=id,text=subject+body`
    """
    if form not in {None, "jsonl", "csv"}:
        raise typer.BadParameter("use jsonl or csv", param_hint="--format")
    known: Format | None = "csv" if form == "csv" else "jsonl" if form == "jsonl" else None
    name = "standard input" if file == "-" else file
    lines = (
        io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="surrogateescape", newline="")
        if file == "-"
        else open_text(file)
    )
    with lines:
        columns, records = rows(lines, format=known, name=name)
        fields = field_map(columns, mapping)
        publisher = Publisher(servers.inbox())
        with progress(errors) as bar:
            task = bar.add_task(f"enqueue {name}", total=None)

            def show(summary: Summary) -> None:
                waiting = " (inbox full, waiting)" if summary.waited_s else ""
                bar.update(task, completed=summary.accepted, description=f"enqueue {name}{waiting}")

            summary = load(records, fields, publisher, lane=lane, source=source, strict=strict, on_progress=show)
    used = {field: "+".join(names) for field, names in fields.columns.items()}
    ignored = [brief(one) for one in columns if not any(one in names for names in fields.columns.values())]
    if as_json:
        print_json(
            {
                "accepted": summary.accepted,
                "rejected": [{"line": bad.line, "reason": bad.reason} for bad in summary.rejected],
                "fields": used,
                "ignored_columns": ignored,
                "lane": lane.value,
            }
        )
    else:
        _print(summary, used, ignored, lane)
    if not summary.accepted:
        raise typer.Exit(1)


def _print(summary: Summary, used: dict[str, str], ignored: list[str], lane: Lane) -> None:
    fields = ", ".join(f"{field} = {names}" for field, names in used.items())
    console.print(f"fields: {fields}" + (f"; ignored: {', '.join(ignored)}" if ignored else ""), markup=False)
    console.print(f"[green]{summary.accepted:,} accepted[/green] into the {lane} lane", highlight=False)
    if summary.rejected:
        console.print(f"[red]{len(summary.rejected):,} rejected[/red]", highlight=False)
        for bad in summary.rejected[:_SHOWN]:
            console.print(f"  line {bad.line}: {bad.reason}", markup=False, highlight=False)
        if (more := len(summary.rejected) - _SHOWN) > 0:
            console.print(f"  and {more:,} more; `--json` lists all", highlight=False)
