"""`triagem train --check`: prints what a training would use."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from triagem.cli.output import (
    as_mapping,
    errors,
    plain_table,
    print_answer,
    print_json,
    print_lines,
    private_file,
    write_csv,
)
from triagem.contracts.errors import InvalidInput
from triagem.registry import Registry
from triagem.trainer import TrainSettings

if TYPE_CHECKING:
    from triagem.trainer.data.audit import Audit
    from triagem.trainer.data.rows import Corpus
    from triagem.trainer.evaluate.baseline import LabelError

_MAX_SHOWN = 5
_EXCERPT_CHARS = 80
# With fewer texts, the list is unreliable: of the sample's rows, it names 40% of 25, 20% of 100 and 10% of 200.
_RELIABLE_TEXTS = 200
_SUSPECTS = ("where", "label", "suggested_label", "confidence", "text")


def print_training_check(
    data: Path,
    registry: Registry,
    settings: TrainSettings,
    *,
    parent: str | None,
    allow_leakage: bool,
    own: Mapping[str, str],
    suspects: Path | None,
    as_json: bool,
) -> None:
    """Print what a training would use. Raises InvalidInput, after printing, if training would reject the rows."""
    from triagem.trainer.data.audit import refuse_leaks
    from triagem.trainer.data.near_duplicates import distinct_rows
    from triagem.trainer.data.prepare import prepare
    from triagem.trainer.evaluate.baseline import label_errors

    findings: dict[str, Any] = {}  # also if the rows cannot be split
    rejection: InvalidInput | None = None

    def show_audit(corpus: "Corpus", audited: "Audit") -> None:
        nonlocal rejection
        findings.update(labels=corpus.labels, audit=audited, notes=(*corpus.notes, *audited.lines()))
        if not as_json:
            print_lines(*(f"  {note}" for note in (*corpus.notes, *audited.lines(test_leak=allow_leakage))))
        try:
            if not allow_leakage:
                refuse_leaks(audited)
        except InvalidInput as error:
            rejection = error

    try:
        with errors.status("comparing the rows"):
            prepared = prepare(
                data, registry, settings, parent=parent, allow_leakage=True, own=own, on_audit=show_audit
            )
    except InvalidInput as error:
        if as_json and findings:
            print_json({**findings, "rejected": str(rejection or error)})
        raise rejection or error from None
    with errors.status("looking for label errors"):
        suspected = label_errors(prepared.parts.train, prepared.parts.labels, seed=settings.seed)
    if suspects:
        with private_file(suspects) as file:
            write_csv(file, [as_mapping(row) for row in suspected], _SUSPECTS)
    parts = {part: getattr(prepared.parts, part) for part in ("train", "dev", "calibration", "test")}
    sizes = {part: dict(Counter(row.label for row in rows)) for part, rows in parts.items()}
    texts = {part: len(distinct_rows(rows)) for part, rows in parts.items()}
    table = plain_table("part", *prepared.parts.labels, "rows", "texts")
    for part, count in sizes.items():
        counts = (*(count.get(label, 0) for label in prepared.parts.labels), sum(count.values()), texts[part])
        table.add_row(part, *map(str, counts))
    answer = {
        "labels": prepared.parts.labels,
        "rejected": str(rejection) if rejection else None,
        "parts": sizes,
        "texts": texts,
        "audit": prepared.audit,
        "notes": prepared.notes,
        "label_errors": suspected,
    }
    notes = (f"  {note}" for note in prepared.parts.notes)
    errors_found = (f"  {line}" for line in _describe(suspected, texts["train"], suspects))
    print_answer(answer, (*notes, table, *errors_found), as_json=as_json)
    if rejection:
        raise rejection


def suspects_problem(suspects: Path, data: Path) -> str | None:
    """The reason not to write the suspects to this path, for example because it is a file of rows; else None."""
    if not suspects.parent.is_dir():
        return f"there is no folder {suspects.parent}"
    if suspects.is_dir():
        return f"{suspects} is a folder: name a new file"
    if data.resolve() in (suspects.resolve(), suspects.resolve().parent):
        return f"{suspects} is for the rows to check: name a new file elsewhere"
    if suspects.exists():
        with suspects.open("rb") as file:
            if file.readline().decode("utf-8-sig", "replace").strip() != ",".join(_SUSPECTS):
                return f"{suspects} exists and is not a list of suspects: name a new file"
    return None


def _describe(suspected: "Sequence[LabelError]", texts: int, written: Path | None) -> Iterator[str]:
    if not suspected:
        yield from [f"no label looks wrong: {written} has no rows"] if written else []
        return
    where = f"all are in {written}" if written else "--suspects FILE.csv writes all of them"
    few = f"; with only {texts} different texts, many of these labels are right" if texts < _RELIABLE_TEXTS else ""
    yield f"{len(suspected):,} training rows may have a wrong label, judging by the other rows{few} ({where}):"
    different = {row.text: row for row in reversed(suspected)}
    for row in [*reversed(different.values())][:_MAX_SHOWN]:
        text = shorten(row.text, _EXCERPT_CHARS, placeholder=" …")
        yield f"  {row.where} {row.label}, probably {row.suggested_label} ({row.confidence:.0%}): {text}"
