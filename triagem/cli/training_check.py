"""`triagem train --check`: prints what a training would use."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from rich.table import Table

from triagem.cli.output import as_mapping, cell, console, errors, print_json, private_file, write_csv
from triagem.contracts.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from triagem.registry import Registry
    from triagem.trainer import TrainSettings
    from triagem.trainer.data.audit import Audit
    from triagem.trainer.data.rows import Corpus
    from triagem.trainer.evaluate.baseline import LabelError

_MAX_SHOWN = 5
_EXCERPT_CHARS = 80


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

    findings: dict[str, Any] = {}  # of rows that cannot be split, too

    def show_audit(corpus: Corpus, audited: Audit) -> None:
        notes = (*corpus.notes, *audited.lines())
        findings.update(labels=corpus.labels, audit=audited, notes=notes)
        for note in () if as_json else notes:
            console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)

    try:
        with errors.status("comparing the rows"):
            prepared = prepare(
                data, registry, settings, parent=parent, allow_leakage=True, own=own, on_audit=show_audit
            )
    except InvalidInput as error:
        if as_json and findings:
            print_json({**findings, "rejected": str(error)})
        raise
    with errors.status("looking for label errors"):
        suspected = label_errors(prepared.parts.train, prepared.parts.labels, seed=settings.seed)
    if suspects:
        columns = ("where", "label", "suggested_label", "confidence", "text")
        with private_file(suspects) as file:
            write_csv(file, [as_mapping(row) for row in suspected], columns)
    rejection = None
    try:
        if not allow_leakage:
            refuse_leaks(prepared.audit)
    except InvalidInput as error:
        rejection = error
    parts = {part: getattr(prepared.parts, part) for part in ("train", "dev", "calibration", "test")}
    sizes = {part: dict(Counter(row.label for row in rows)) for part, rows in parts.items()}
    texts = {part: len(distinct_rows(rows)) for part, rows in parts.items()}
    if as_json:
        print_json(
            {
                "labels": prepared.parts.labels,
                "rejected": str(rejection) if rejection else None,
                "parts": sizes,
                "texts": texts,
                "audit": prepared.audit,
                "notes": prepared.notes,
                "label_errors": suspected,
            }
        )
    else:
        for note in prepared.parts.notes:
            console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)
        console.print(_table(sizes, texts, prepared.parts.labels))
        for line in _describe(suspected, suspects):
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    if rejection:
        raise rejection


def _describe(suspected: Sequence[LabelError], written: Path | None) -> Iterator[str]:
    if not suspected:
        return
    where = f"all are in {written}" if written else "--suspects FILE.csv writes all of them"
    yield f"{len(suspected)} training rows may have a wrong label, judging by the other rows ({where}):"
    for row in suspected[:_MAX_SHOWN]:
        text = shorten(row.text, _EXCERPT_CHARS, placeholder=" …")
        yield f"  {row.where} {row.label}, probably {row.suggested_label} ({row.confidence:.0%}): {text}"


def _table(sizes: dict[str, dict[str, int]], texts: dict[str, int], labels: tuple[str, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("part")
    for column in (*labels, "rows", "texts"):
        table.add_column(cell(column), justify="right")
    for part, count in sizes.items():
        counts = (*(count.get(label, 0) for label in labels), sum(count.values()), texts[part])
        table.add_row(part, *map(str, counts))
    return table
