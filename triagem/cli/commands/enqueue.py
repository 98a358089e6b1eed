"""`triagem enqueue`: puts tickets from a file or standard input into the inbox."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from triagem import servers
from triagem.cli.options import ACTION_NEEDED, AsJson
from triagem.cli.output import print_answer, print_lines
from triagem.cli.progress import progress_reporter
from triagem.contracts.errors import InvalidInput
from triagem.contracts.moments import DateOrder, MomentFormat, time_zone
from triagem.contracts.ticket import Lane
from triagem.producer.columns import FIELDS
from triagem.producer.load import LoadSummary, ReadingRules, load_records
from triagem.producer.publisher import Publisher
from triagem.producer.survey import TicketFile, survey_file
from triagem.records.columns import describe_ignored, short_name, similar_fields
from triagem.records.parquet_file import ParquetFile
from triagem.records.rows import BadLine, FileFormat, Rows
from triagem.records.text_file import TextFile, open_text

_MAX_REASONS = 20
_MAX_LINES = 5
_DRY_ROWS = 10
_DRY_CHARS = 60
_SEPARATOR_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def enqueue(
    file: Annotated[str, typer.Argument(help="A JSONL, CSV or Parquet file, or `-` for standard input.")],
    *,
    source: Annotated[str, typer.Option(help="Name of the CRM, for records without a `source` field.")] = "import",
    lane: Annotated[
        Lane, typer.Option(help="`bulk` for old tickets, `live` for customers who are waiting now.")
    ] = Lane.BULK,
    mapping: Annotated[
        str | None,
        typer.Option(
            "--map",
            help="`field=column,…`; join columns with `+`: `external_id=id,text=subject+body`. Quote a column "
            'name that has a comma or plus sign: `text="Assunto + corpo"`. `revised_at=` leaves a field out.',
        ),
    ] = None,
    form: Annotated[
        FileFormat | None, typer.Option("--format", help="`jsonl` or `csv`; default: detected from the first line.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="For example `cp1252`; default: detected.")] = None,
    timezone: Annotated[
        str, typer.Option(envvar="TRIAGEM_TIMEZONE", help="The time zone of times without an offset.")
    ] = "UTC",
    date_format: Annotated[
        str | None,
        typer.Option(help="`dmy`, `mdy` or a pattern such as `%d.%m.%y %H:%M`; default: decided from all rows."),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Write rejected rows to this file, unchanged, to correct and enqueue them.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the first rows and all problems, and write --rejects; enqueue nothing."),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first invalid line.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put the tickets of a file into the inbox. The exit status is 3 if rows were rejected, 1 if there were none.

    The command detects encoding, separator, columns and the order of day and month, and shows them first.

    Example: `triagem enqueue export.csv --source zendesk --timezone America/Sao_Paulo --dry-run`
    """
    name = "standard input" if file == "-" else file
    moments = _moment_format(timezone, date_format)
    with ExitStack() as stack:
        text = stack.enter_context(closing(open_text(file, encoding=encoding)))
        tickets = survey_file(text, name=name, source=source, mapping=mapping, moments=moments, form=form)
        rules = tickets.survey.rules
        if not as_json:
            _print_reading(text, tickets, timezone)
        if dry_run:
            write_reject = _rejects_writer(stack, rejects, text, tickets.first.header)
            summary = _dry_run(tickets.read(), rules, write_reject, as_json=as_json)
        else:
            publisher = Publisher(servers.inbox())
            write_reject = _rejects_writer(stack, rejects, text, tickets.first.header)
            with progress_reporter(f"enqueue {name}") as report:

                def show(summary: LoadSummary) -> None:
                    note = "inbox full, waiting" if summary.waiting else ""
                    report(summary.accepted + len(summary.rejected), tickets.survey.rows, note)

                summary = load_records(
                    tickets.read().records,
                    rules,
                    publisher,
                    lane=lane,
                    strict=strict,
                    on_reject=write_reject,
                    on_progress=show,
                )
    outcome = "would be accepted" if dry_run else f"accepted into the {lane} lane"
    answer = _as_json(summary, text, tickets, lane)
    print_answer(answer, _describe(summary, outcome, rejects), as_json=as_json)
    if summary.rejected:
        raise typer.Exit(ACTION_NEEDED)
    if not summary.accepted:
        raise typer.Exit(1)


def _moment_format(timezone: str, date_format: str | None) -> MomentFormat:
    try:
        zone = time_zone(timezone)
    except ValueError as error:
        raise InvalidInput(f"--timezone {timezone!r} {error}") from None
    if date_format is None:
        return MomentFormat(zone)
    if date_format in {*DateOrder}:
        return MomentFormat(zone, DateOrder(date_format))
    if "%" not in date_format:
        raise InvalidInput(f"--date-format {date_format!r}: expected dmy, mdy or a pattern such as %d/%m/%Y %H:%M")
    return MomentFormat(zone, pattern=date_format)


def _print_reading(text: TextFile | ParquetFile, tickets: TicketFile, timezone: str) -> None:
    """Print how the file is read, before anything is enqueued."""
    rows, rules = tickets.first, tickets.survey.rules
    form = f"JSON lines, {text.encoding}"
    if rows.separator:
        form = f"CSV separated by {_SEPARATOR_NAMES.get(rows.separator, rows.separator)}, {text.encoding}"
    elif isinstance(text, ParquetFile):
        form = "Parquet"
    rows_read = "1 row" if tickets.survey.rows == 1 else f"{tickets.survey.rows:,} rows"
    lines = [f"{rows_read} of {form}"]
    if "revised_at" in rules.mapping.columns:
        order = {DateOrder.DAY_FIRST: ", day first", DateOrder.MONTH_FIRST: ", month first", None: ""}
        lines.append(f"times without an offset are in {timezone}{order[rules.moments.order]}")
    fields = ", ".join(f"{field} = {' + '.join(names)}" for field, names in rules.mapping.columns.items())
    if rules.source and "source" not in rules.mapping.columns:
        fields = f"source = {rules.source!r} (--source), {fields}"
    lines.append(f"fields: {fields}")
    if ignored := describe_ignored(tickets.survey.ignored, FIELDS):
        lines.append(f"{ignored}; to keep one: --map metadata.NAME=COLUMN")
    print_lines(*lines, *(f"note: {note}" for note in tickets.notes))


def _dry_run(rows: Rows, rules: ReadingRules, on_reject: Callable[[BadLine], None], *, as_json: bool) -> LoadSummary:
    """Read all rows and show the first ones as tickets."""
    summary = LoadSummary()
    for record in rows.records:
        ticket = rules.ticket(record)
        if isinstance(ticket, BadLine):
            summary.rejected.append(ticket)
            on_reject(ticket)
            continue
        if not as_json and summary.accepted < _DRY_ROWS:
            shown = " ".join(ticket.text.split())
            shown = shown if len(shown) <= _DRY_CHARS else shown[: _DRY_CHARS - 1] + "…"
            when = f"{ticket.revised_at:%Y-%m-%d %H:%M} UTC"
            print_lines(f"  line {record.line}: {ticket.source} {ticket.external_id}, {when}: {shown}")
        summary.accepted += 1
    return summary


def _rejects_writer(
    stack: ExitStack, path: Path | None, text: TextFile | ParquetFile, header: str
) -> Callable[[BadLine], None]:
    """A function that appends a rejected row to the file, which gets the header and the encoding of the input."""
    if path is None:
        return lambda _: None
    try:
        output = stack.enter_context(path.open("w", encoding=text.encoding, errors="surrogateescape", newline=""))
    except OSError as error:
        raise InvalidInput(f"--rejects {path}: {error.strerror}") from None
    output.write(header)

    def write(rejected: BadLine) -> None:
        output.write(rejected.raw)

    return write


def _as_json(summary: LoadSummary, text: TextFile | ParquetFile, tickets: TicketFile, lane: Lane) -> dict[str, Any]:
    rules = tickets.survey.rules
    return {
        "accepted": summary.accepted,
        "rejected": [{"line": rejected.line, "reason": rejected.reason} for rejected in summary.rejected],
        "fields": {field: "+".join(names) for field, names in rules.mapping.columns.items()},
        "ignored_columns": [short_name(column) for column in tickets.survey.ignored],
        "similar_fields": similar_fields(tickets.survey.ignored, FIELDS),
        "encoding": text.encoding,
        "separator": tickets.first.separator,
        "date_order": rules.moments.order,
        "notes": tickets.notes,
        "lane": lane.value,
    }


def _describe(summary: LoadSummary, outcome: str, rejects: Path | None) -> Iterator[RenderableType]:
    yield Text(f"{summary.accepted:,} {outcome}", "green")
    if not summary.rejected:
        return
    where = f", written to {rejects}" if rejects else ""
    yield Text.assemble((f"{len(summary.rejected):,} rejected", "red"), where)
    reasons = summary.reasons()
    for reason, numbers in reasons[:_MAX_REASONS]:
        shown = ", ".join(map(str, numbers[:_MAX_LINES]))
        more = f" and {len(numbers) - _MAX_LINES:,} more" if len(numbers) > _MAX_LINES else ""
        word = "line" if len(numbers) == 1 else "lines"
        yield f"  {word} {shown}{more}: {reason}"
    if len(reasons) > _MAX_REASONS:
        yield f"  and {len(reasons) - _MAX_REASONS:,} more reasons; `--json` lists all lines"
