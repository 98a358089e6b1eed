"""`triagem review accuracy`, `export` and `import`: estimates accuracy, and exports and imports labels."""

import getpass
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import fields
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Final, TextIO

import typer
from rich.console import RenderableType

from triagem import servers
from triagem.cli.commands.access import command_actor
from triagem.cli.options import ACTION_NEEDED, AsJson, ModelVersion, Reviewer, time_option
from triagem.cli.output import as_mapping, errors, print_answer, print_json, print_lines, private_file, rows_table
from triagem.cli.progress import progress
from triagem.contracts.conversation import message_rows
from triagem.contracts.errors import InvalidInput, InvalidTicket
from triagem.contracts.model import ROWS_FILE
from triagem.contracts.ticket import identify
from triagem.db import Database
from triagem.db.labels import review_choices
from triagem.db.reviews import AccuracyEstimate, model_accuracy
from triagem.db.reviews.accuracy import FEWEST_REVIEWS
from triagem.db.reviews.agreed_labels import Exclusion, LabelledExample, labelled_examples
from triagem.db.reviews.expected import MIN_SAMPLED, ExpectedAccuracy, expected_accuracy
from triagem.db.reviews.labelling import count_start_answers
from triagem.db.reviews.records import Unasked, record_correction
from triagem.ops.labelling import request_due_version
from triagem.producer.columns import field_map
from triagem.records.columns import mapped_label, parse_label_map
from triagem.records.rows import BadLine, read_rows
from triagem.records.text_file import open_text
from triagem.registry.records import read_rows as read_version_rows
from triagem.registry.records import read_trained_texts

_MAX_REJECTED: Final = 20
# Columns of the training data; without who labelled which text.
_NOT_EXPORTED: Final = {"reviewer", "source", "reviewed_at", "digest"}
_COLUMNS: Final = [field.name for field in fields(LabelledExample) if field.name not in _NOT_EXPORTED]


def accuracy(
    *,
    model: ModelVersion = None,
    since: Annotated[datetime | None, time_option("--since", "Texts received at or after")] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate the model's accuracy on all texts from the reviewed texts, and compare it with the confidences.

    The expected accuracy is the mean confidence. docs/how-to/reviews.md describes the method.

    Example: `triagem review accuracy --since 2026-11-01`
    """
    registry = servers.registry()
    version = model or registry.current().version
    trained = read_trained_texts(registry, version)
    with servers.database() as database:
        estimate = model_accuracy(database, version, since, trained=trained)
        expected = expected_accuracy(database, version, since, trained=trained)
        start_answers = count_start_answers(database)
    answer = {
        "model_version": version,
        "since": since,
        "accuracy": estimate,
        "expected": {**as_mapping(expected), "diverged": expected.diverged},
    }
    lines = (*_describe(version, estimate, start_answers), *_expected_lines(expected))
    print_answer(answer, lines, as_json=as_json)


def export(
    file: Annotated[str, typer.Argument(help="File to write; `-` for standard output.")],
    *,
    since: Annotated[datetime | None, time_option("--since", "Reviewed at or after")] = None,
    as_json: AsJson = False,
) -> None:
    """Write agreed labels as training data, JSON lines: `prompt`, `completion`, and how each text was sampled.

    A conversation also has `messages`: author and text of each, from which `triagem train` composes the text.

    The command excludes and counts texts in any version's test set, unclear texts, texts without a majority label,
    and changed or purged texts. To calibrate on these rows, use weights: most were selected for low confidence.

    Example: `triagem review export data/reviews.jsonl --since 2026-11-01`
    """
    if as_json and file == "-":
        raise typer.BadParameter("cannot be combined with `-`: both use standard output", param_hint="--json")
    test, unknown = _test_rows()
    counts = Counter[str]()
    with servers.database() as database, progress("texts") as update:

        def exported_examples() -> Iterator[LabelledExample]:
            for example in labelled_examples(database, since=since, test=test):
                update(advance=1)
                counts["exported" if isinstance(example, LabelledExample) else example] += 1
                if isinstance(example, LabelledExample):
                    yield example

        if file == "-":
            _write(sys.stdout, exported_examples())
        else:
            with private_file(Path(file)) as output:
                _write(output, exported_examples())
        excluded = {str(reason): counts[reason] for reason in Exclusion}
    if as_json:
        print_json({"exported": counts["exported"], "excluded": excluded, "versions_without_rows": unknown})
        return
    reasons = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in excluded.items())
    lines = [f"{counts['exported']:,} exported; excluded: {reasons}"]
    if unknown:
        lines.append(
            f"the export may contain test texts of {', '.join(unknown)}: without {ROWS_FILE} they are unknown"
        )
    print_lines(*lines, screen=errors)


def _write(file: TextIO, examples: Iterable[LabelledExample]) -> None:
    for example in examples:
        row = {name: getattr(example, name) for name in _COLUMNS} | {"messages": message_rows(example.messages)}
        filled = {name: value for name, value in row.items() if value not in (None, [])}
        file.write(json.dumps(filled, ensure_ascii=False) + "\n")


def import_(
    file: Annotated[
        str, typer.Argument(help="CSV, JSON lines or Parquet with a ticket's id and a label in each row.")
    ],
    *,
    source: Annotated[str, typer.Option(help="Name of the CRM that the tickets are from.")],
    label_column: Annotated[str, typer.Option(help="The column of the labels.")] = "label",
    label_map: Annotated[
        str, typer.Option(help="The label of each value in the column, such as Comercial=venda,N1=suporte.")
    ] = "",
    mapping: Annotated[
        str | None, typer.Option("--map", help="The column of the ids, such as external_id=protocolo.")
    ] = None,
    reviewer: Reviewer = None,
    as_json: AsJson = False,
) -> None:
    """Record labels that people gave in another tool, as reviews of the stratum `import`.

    Labels that Triagem wrote there itself, and labels that the ticket already has, are left out. The estimate of
    accuracy does not count imported labels. The exit status is 3 if rows were rejected.

    Example: `triagem review import closed.csv --source zendesk --label-column grupo --label-map "N1=suporte"`
    """
    name, labels = reviewer_name(reviewer), parse_label_map(label_map)
    counts, rejected = Counter[str](), list[dict[str, Any]]()
    with closing(open_text(file)) as text, servers.database() as database:
        rows = read_rows(text.lines(), format=None, name=file)
        columns = field_map(rows.columns, mapping)
        if label_column not in rows.columns:
            raise InvalidInput(f"--label-column {label_column!r}: the file has {', '.join(rows.columns)}")
        known = known_labels(database)
        for record in rows.records:
            try:
                if isinstance(record, BadLine):
                    raise InvalidInput(record.reason)
                label = mapped_label(record.columns.get(label_column), labels)
                if label is None:
                    counts["without a label"] += 1
                    continue
                require_known_label(label, known, f"`triagem labels set {quote(label)} --new-label` adds it")
                ticket = identify(source, str(columns.fields(record.columns).get("external_id") or ""))
                outcome = record_correction(database, ticket, label, name, Unasked.IMPORT)
                counts["recorded" if isinstance(outcome, int) else str(outcome)] += 1
            except (InvalidInput, InvalidTicket) as error:
                rejected.append({"line": record.line, "reason": str(error)})
        request_due_version(database, servers.registry(), name, command_actor())
    recorded = counts.pop("recorded", 0)
    lines = [f"{recorded:,} recorded", *(f"{count:,} left out: {reason}" for reason, count in counts.items())]
    lines += [f"line {row['line']} rejected: {row['reason']}" for row in rejected[:_MAX_REJECTED]]
    if len(rejected) > _MAX_REJECTED:
        lines.append(f"{len(rejected) - _MAX_REJECTED:,} more rejected; --json lists all")
    print_answer({"recorded": recorded, "left_out": counts, "rejected": rejected}, lines, as_json=as_json)
    if rejected:
        raise typer.Exit(ACTION_NEEDED)


_MAX_NAME_CHARS: Final = 64


def reviewer_name(name: str | None) -> str:
    """The reviewer's name, by default the login name. Raises InvalidInput."""
    if name is None:
        try:
            name = getpass.getuser()
        except (OSError, KeyError):  # a container's user id may have no login name
            raise InvalidInput("this user has no login name: set the reviewer with --reviewer") from None
    reviewer = name.strip()
    if not reviewer or len(reviewer) > _MAX_NAME_CHARS or not reviewer.isprintable():
        raise InvalidInput(f"--reviewer {name!r}: expected 1 to {_MAX_NAME_CHARS} printable characters")
    return reviewer


def known_labels(database: Database) -> list[str]:
    """The current model's labels, then labels that reviewers added; without retired ones."""
    return review_choices(database, servers.registry().current_labels())


def require_known_label(label: str, known: Sequence[str], next_step: str) -> None:
    """Raises InvalidInput for a label that neither the model nor a reviewer has used. `next_step` makes it known."""
    if label not in known:
        similar = " or ".join(map(repr, get_close_matches(label, known)))
        hint = f"did you mean {similar}?" if similar else f"known labels: {', '.join(known) or 'none'}."
        raise InvalidInput(f"unknown label {label!r}: {hint} {next_step}")


def _test_rows() -> tuple[set[bytes], list[str]]:
    """The test texts of all registered versions, and the versions whose test texts are unknown."""
    registry = servers.registry()
    registry.current()  # raises NoModel: with a wrong TRIAGEM_REGISTRY_URL, no text would be excluded
    test, unknown = set[bytes](), list[str]()
    for version in registry.versions():
        if (rows := read_version_rows(registry, version)) is None:
            unknown.append(version)
        else:
            test.update(map(bytes.fromhex, rows.test))
    return test, unknown


def _expected_lines(expected: ExpectedAccuracy) -> Iterator[str]:
    if expected.value is None:
        yield "\nexpected: unknown, because no current result is of this version"
        return
    yield f"\nexpected: {expected.value:.1%}, the mean confidence in {expected.texts:,} decided texts"
    if (reviewed := expected.reviewed) is None or reviewed.mean_confidence is None:
        return
    figures = f"{reviewed.low:.1%} to {reviewed.high:.1%} by reviews, {reviewed.mean_confidence:.1%} expected"
    if expected.diverged:
        yield f"the confidences do not match the reviews: on the same texts, {figures}; see docs/how-to/runbook.md"
    elif reviewed.sampled < MIN_SAMPLED:
        missing = MIN_SAMPLED - reviewed.sampled
        rule = f"{MIN_SAMPLED} reviews of randomly sampled texts show whether the confidences match"
        yield f"{rule}: {missing:,} to go"
    else:
        yield f"the confidences match the reviews: on the same texts, {figures}"


def _describe(version: str, estimate: AccuracyEstimate | None, start_answers: int) -> Iterator[RenderableType]:
    if estimate is None:
        yield (
            f"{version}: accuracy not known yet, at least {FEWEST_REVIEWS} reviews of randomly sampled texts are "
            "needed (0 so far): the page Review and `triagem review next` sample some of their texts"
        )
        if start_answers:
            yield (
                f"answers of the page Start do not count ({start_answers:,}): their texts were selected to train a"
                " model; the page Review samples texts at random"
            )
        return
    interval = f"95% confidence interval {estimate.low:.1%} to {estimate.high:.1%}"
    accuracy = f"{estimate.value:.1%} on {estimate.texts:,} texts, {interval}"
    if estimate.reviews_missing:
        accuracy = f"not known yet, {estimate.reviews_needed} are needed ({estimate.reviews:,} so far, {interval})"
    yield f"{version}: accuracy {accuracy}\n"
    rows = [
        as_mapping(stratum)
        | {
            "accuracy": f"{stratum.accuracy:.1%}" if stratum.reviews else "unknown",
            "interval": f"{stratum.low:.1%} to {stratum.high:.1%}",
        }
        for stratum in estimate.strata
    ]
    yield rows_table(rows, ("name", "texts", "reviews", "unclear", "accuracy", "interval"))
    if estimate.uncounted:
        training = " to train a model (page Start)," if start_answers else ""
        yield (
            f"\nmore reviews that do not count: {estimate.uncounted:,}; their texts were selected for low confidence,"
            f"{training} by the reviewer, or by the users of a CRM"
        )
    if estimate.trained is None:
        yield f"\nthe texts that {version} was trained on are not known: their reviews may be among these"
    elif estimate.trained:
        yield f"\nreviews left out because {version} was trained on their texts: {estimate.trained:,}"
