"""`triagem enqueue`: puts tickets from a file or standard input into the inbox."""

import io
import sys
from typing import Annotated

import typer

from triagem import servers
from triagem.cli.output import console, errors, print_json, progress
from triagem.contracts.ticket import Lane
from triagem.producer.load import LoadSummary, field_map, load_records, short_name
from triagem.producer.publisher import Publisher
from triagem.producer.rows import FileFormat, open_text, read_rows

_MAX_SHOWN = 20


def enqueue(
    file: Annotated[str, typer.Argument(help="A JSONL or CSV file, or `-` for standard input.")],
    *,
    source: Annotated[str, typer.Option(help="Name of the CRM, for records without a `source` field.")] = "import",
    lane: Annotated[
        Lane, typer.Option(help="`live` for customers who are waiting now, `bulk` for old tickets.")
    ] = Lane.LIVE,
    mapping: Annotated[
        str | None,
        typer.Option("--map", help="`field=column,…`; join columns with `+`: `external_id=id,text=subject+body`."),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="`jsonl` or `csv`; default: detected from the first line.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first invalid line.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Put the tickets of a file into the inbox. Invalid lines are reported and skipped.

    Example: `triagem enqueue export.csv --source zendesk --map external_id=id,text=subject+body`
    """
    if form not in {None, "jsonl", "csv"}:
        raise typer.BadParameter("use jsonl or csv", param_hint="--format")
    file_format: FileFormat | None = "csv" if form == "csv" else "jsonl" if form == "jsonl" else None
    name = "standard input" if file == "-" else file
    lines = (
        io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="surrogateescape", newline="")
        if file == "-"
        else open_text(file)
    )
    with lines:
        columns, records = read_rows(lines, format=file_format, name=name)
        fields = field_map(columns, mapping)
        publisher = Publisher(servers.inbox())
        with progress(errors) as bar:
            task = bar.add_task(f"enqueue {name}", total=None)

            def show(summary: LoadSummary) -> None:
                waiting = " (inbox full, waiting)" if summary.waited_s else ""
                bar.update(task, completed=summary.accepted, description=f"enqueue {name}{waiting}")

            summary = load_records(
                records, fields, publisher, lane=lane, source=source, strict=strict, on_progress=show
            )
    used = {field: "+".join(names) for field, names in fields.columns.items()}
    mapped = {name for names in fields.columns.values() for name in names}
    ignored = [short_name(column) for column in columns if column not in mapped]
    if as_json:
        print_json(
            {
                "accepted": summary.accepted,
                "rejected": [{"line": rejected.line, "reason": rejected.reason} for rejected in summary.rejected],
                "fields": used,
                "ignored_columns": ignored,
                "lane": lane.value,
            }
        )
    else:
        _print(summary, used, ignored, lane)
    if not summary.accepted:
        raise typer.Exit(1)


def _print(summary: LoadSummary, used: dict[str, str], ignored: list[str], lane: Lane) -> None:
    fields = ", ".join(f"{field} = {names}" for field, names in used.items())
    console.print(f"fields: {fields}" + (f"; ignored: {', '.join(ignored)}" if ignored else ""), markup=False)
    console.print(f"[green]{summary.accepted:,} accepted[/green] into the {lane} lane", highlight=False)
    if summary.rejected:
        console.print(f"[red]{len(summary.rejected):,} rejected[/red]", highlight=False)
        for rejected in summary.rejected[:_MAX_SHOWN]:
            console.print(f"  line {rejected.line}: {rejected.reason}", markup=False, highlight=False)
        if (more := len(summary.rejected) - _MAX_SHOWN) > 0:
            console.print(f"  and {more:,} more; `--json` lists all", highlight=False)
