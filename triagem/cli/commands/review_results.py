"""`triagem review accuracy`, `export` and `import`: estimate accuracy, and move labels out of and into reviews."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer

from triagem import servers
from triagem.cli.output import (
    Format,
    as_mapping,
    console,
    errors,
    parse_time,
    print_json,
    print_rows,
    printable,
    private_file,
    progress,
)
from triagem.cli.review_session.names import require_known_label, reviewer_name
from triagem.contracts.conversation import message_rows
from triagem.contracts.errors import InvalidInput, InvalidTicket, ModelCorrupt, NoModel
from triagem.contracts.model import ROWS_FILE, SplitDigests
from triagem.contracts.ticket import identify
from triagem.registry import Registry, RegistrySettings

_MAX_REJECTED: Final = 20
_HIDDEN: Final = ("reviewer", "source")


def write(target: str, examples: Iterable[LabelledExample], *, as_csv: bool) -> None:
    """Write to a file that only its owner can read, since it contains customers' texts; `-` is standard output."""
    if target == "-":
        _write(sys.stdout, examples, as_csv=as_csv)
        return
    with private_file(Path(target)) as file:
        _write(file, examples, as_csv=as_csv)


def _write(file: TextIO, examples: Iterable[LabelledExample], *, as_csv: bool) -> None:
    if as_csv:
        from triagem.db.reviews.agreed_labels import LabelledExample

        table = csv.DictWriter(
            file, [field.name for field in fields(LabelledExample) if field.name not in _HIDDEN], lineterminator="\n"
        )
        table.writeheader()
        for example in examples:
            messages = json.dumps(message_rows(example.messages), ensure_ascii=False) if example.messages else ""
            table.writerow(_cells(example) | {"messages": messages})
        return
    for example in examples:
        cells = _cells(example) | {"messages": message_rows(example.messages) or None}
        row = {name: value for name, value in cells.items() if value is not None}
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


if TYPE_CHECKING:
    from triagem.db.reviews import AccuracyEstimate, StratumAccuracy
    from triagem.db.reviews.agreed_labels import LabelledExample


_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class FileFormat(StrEnum):
    """File format of training data."""

    JSONL = "jsonl"
    CSV = "csv"


def accuracy(
    *,
    model: Annotated[str | None, typer.Option(help="Model version; default: the current one.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Texts received at or after: `2026-11-02`, or a date and time; UTC by default.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Estimate the model's accuracy on all texts from the reviewed ones.

    docs/how-to/training.md describes the method.

    Example: `triagem review accuracy --since 2026-11-01`
    """
    version = model or Registry(RegistrySettings().registry_url).current().version
    start = parse_time(since, "--since")
    with servers.database() as database:
        from triagem.db.reviews import model_accuracy

        estimate = model_accuracy(database, version, start)
    if as_json:
        print_json({"model_version": version, "since": start, "accuracy": estimate})
    elif estimate is None:
        console.print(
            f"{version}: accuracy unknown, no randomly sampled text has been reviewed: run `triagem review`",
            highlight=False,
        )
    else:
        _print(version, estimate)


def export(
    file: Annotated[str, typer.Argument(help="File to write; `-` for standard output.")],
    *,
    since: Annotated[
        str | None, typer.Option(help="Reviewed at or after: `2026-11-02`, or a date and time; UTC by default.")
    ] = None,
    form: Annotated[FileFormat, typer.Option("--format", help="File format.")] = FileFormat.JSONL,
    as_json: _Json = False,
) -> None:
    """Write agreed labels as training data: `prompt`, `completion`, and how each text was sampled.

    A conversation also has `messages`: author and text of each, from which `triagem train` composes the text.

    Excluded and counted: texts in any version's test set, unclear texts, texts without a majority label, and texts
    that were changed or purged. Do not calibrate on these rows without weights: most were selected for their low
    confidence.

    Example: `triagem review export data/reviews.jsonl --since 2026-11-01`
    """
    if as_json and file == "-":
        raise typer.BadParameter("cannot be combined with `-`: both use standard output", param_hint="--json")
    start, (test, unknown) = parse_time(since, "--since"), _test_rows()
    counts = Counter[str]()
    with servers.database() as database, progress(errors) as bar:
        from triagem.cli.commands.review_results import write
        from triagem.db.reviews.agreed_labels import Exclusion, LabelledExample, labelled_examples

        task = bar.add_task("texts", total=None)

        def exported_examples() -> Iterator[LabelledExample]:
            for example in labelled_examples(database, since=start, test=test):
                bar.advance(task)
                counts["exported" if isinstance(example, LabelledExample) else example] += 1
                if isinstance(example, LabelledExample):
                    yield example

        write(file, exported_examples(), as_csv=form is FileFormat.CSV)
        excluded = {str(reason): counts[reason] for reason in Exclusion}
    if as_json:
        print_json({"exported": counts["exported"], "excluded": excluded, "versions_without_rows": unknown})
        return
    reasons = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in excluded.items())
    errors.print(f"{counts['exported']:,} exported; excluded: {reasons}", highlight=False)
    if unknown:
        errors.print(
            f"the export may contain test texts of {', '.join(unknown)}: without {ROWS_FILE} they are unknown",
            highlight=False,
        )


def _cells(example: LabelledExample) -> dict[str, Any]:
    return {name: value for name, value in asdict(example).items() if name not in _HIDDEN}


def import_(
    file: Annotated[
        str, typer.Argument(help="CSV, JSON lines or Parquet with a ticket's id and a label in each row.")
    ],
    *,
    source: Annotated[str, typer.Option(help="Name of the CRM that the tickets are from.")],
    label_column: Annotated[str, typer.Option(help="The column of the labels.")] = "label",
    label_map: Annotated[
        str, typer.Option(help="Labels of the column's values, such as Comercial=venda,N1=suporte.")
    ] = "",
    mapping: Annotated[
        str | None, typer.Option("--map", help="The column of the ids, such as external_id=protocolo.")
    ] = None,
    reviewer: Annotated[str | None, typer.Option(help="Name of the reviewer; default: the login name.")] = None,
    as_json: _Json = False,
) -> None:
    """Record labels that people gave in another tool, as reviews of the stratum `import`.

    Labels that Triagem wrote there itself, and those that the ticket already has, are left out. The estimate of
    accuracy does not count them. Exits with status 3 if rows were rejected.

    Example: `triagem review import closed.csv --source zendesk --label-column grupo --label-map "N1=suporte"`
    """
    from triagem.producer.columns import field_map
    from triagem.records.columns import mapped_label, parse_label_map
    from triagem.records.rows import BadLine, read_rows
    from triagem.records.text_file import open_text

    name, labels = reviewer_name(reviewer), parse_label_map(label_map)
    counts, rejected = Counter[str](), list[dict[str, Any]]()
    with closing(open_text(file)) as text, servers.database() as database:
        from triagem.db.labels import review_choices
        from triagem.db.reviews import ReviewRef
        from triagem.db.reviews.corrections import Unasked, record_correction

        rows = read_rows(text.lines(), format=None, name=file)
        columns = field_map(rows.columns, mapping)
        if label_column not in rows.columns:
            raise InvalidInput(f"--label-column {label_column!r}: the file has {', '.join(rows.columns)}")
        known = review_choices(database, _current_labels())
        for record in rows.records:
            try:
                if isinstance(record, BadLine):
                    raise InvalidInput(record.reason)
                label = mapped_label(record.columns.get(label_column), labels)
                if label is None:
                    counts["without a label"] += 1
                    continue
                require_known_label(label, known)
                ticket = identify(source, str(columns.fields(record.columns).get("external_id") or ""))
                outcome = record_correction(database, ticket, label, name, Unasked.IMPORT)
                counts["recorded" if isinstance(outcome, ReviewRef) else str(outcome)] += 1
            except (InvalidInput, InvalidTicket) as error:
                rejected.append({"line": record.line, "reason": str(error)})
    if as_json:
        print_json({"recorded": counts.pop("recorded", 0), "left_out": counts, "rejected": rejected})
    else:
        console.print(f"{counts.pop('recorded', 0):,} recorded", highlight=False)
        for reason, count in counts.items():
            console.print(f"{count:,} left out: {reason}", highlight=False)
        for row in rejected[:_MAX_REJECTED]:
            console.print(printable(f"line {row['line']} rejected: {row['reason']}"), markup=False, highlight=False)
        if len(rejected) > _MAX_REJECTED:
            console.print(f"{len(rejected) - _MAX_REJECTED:,} more rejected; --json lists all", highlight=False)
    if rejected:
        raise typer.Exit(3)


def _current_labels() -> tuple[str, ...]:
    registry = Registry(RegistrySettings().registry_url)
    with suppress(NoModel):
        return registry.manifest(registry.current().version).labels
    return ()


def _test_rows() -> tuple[set[bytes], list[str]]:
    """The test texts of all registered versions, and the versions whose test texts are unknown."""
    registry = Registry(RegistrySettings().registry_url)
    registry.current()  # raises NoModel: a wrong TRIAGEM_REGISTRY_URL must not look like "no test texts"
    test, unknown = set[bytes](), list[str]()
    for version in registry.versions():
        path = registry.folder(version) / ROWS_FILE
        try:
            test.update(map(bytes.fromhex, SplitDigests.model_validate_json(path.read_bytes()).test))
        except FileNotFoundError:
            unknown.append(version)
        except (OSError, ValueError) as error:
            raise ModelCorrupt(f"{path} cannot be read ({type(error).__name__}): restore it") from error
    return test, unknown


def _print(version: str, estimate: AccuracyEstimate) -> None:
    interval = f"95% confidence interval {estimate.low:.1%} to {estimate.high:.1%}"
    accuracy = f"{estimate.value:.1%} on {estimate.texts:,} texts, {interval}"
    if missing := estimate.reviews_missing:
        accuracy = (
            f"not known yet, about {missing:,} more reviews are needed ({estimate.reviews:,} so far, {interval})"
        )
    console.print(f"{version}: accuracy {accuracy}\n", highlight=False, soft_wrap=True)
    rows = [
        as_mapping(stratum)
        | {"accuracy": f"{stratum.accuracy:.1%}" if stratum.reviews else "unknown", "interval": _interval(stratum)}
        for stratum in estimate.strata
    ]
    print_rows(rows, ("name", "texts", "reviews", "unclear", "accuracy", "interval"), Format.TABLE)
    if estimate.uncounted:
        console.print(
            f"\n{estimate.uncounted:,} more reviews do not count: their texts were selected for low confidence,"
            " by the reviewer, or by the users of a CRM",
            highlight=False,
        )


def _interval(stratum: StratumAccuracy) -> str:
    return f"{stratum.low:.1%} to {stratum.high:.1%}"
