"""Prints the result of `triagem train --check`: problems of labelled rows, and the parts they would be split into."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from triagem.cli.output import console, errors, print_json
from triagem.contracts.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from triagem.registry import Registry
    from triagem.trainer import TrainSettings
    from triagem.trainer.label_errors import LabelError

_MAX_SHOWN = 5


def print_training_check(
    data: Path,
    registry: Registry,
    settings: TrainSettings,
    *,
    parent: str | None,
    allow_leakage: bool,
    as_json: bool,
) -> None:
    """Print what a training would use. Raises InvalidInput, after printing, if training would reject the rows."""
    from triagem.trainer.audit import refuse_leaks
    from triagem.trainer.label_errors import label_errors
    from triagem.trainer.prepare import prepare

    with errors.status("comparing the rows"):
        prepared = prepare(data, registry, settings, parent=parent, allow_leakage=True)
    with errors.status("looking for label errors"):
        suspected = label_errors(prepared.parts.train, prepared.labels, seed=settings.seed)
    rejection = None
    try:
        if not allow_leakage:
            refuse_leaks(prepared.audit)
    except InvalidInput as error:
        rejection = error
    sizes = {
        part: dict(Counter(row.label for row in getattr(prepared.parts, part)))
        for part in ("train", "dev", "calibration", "test")
    }
    if as_json:
        print_json(
            {
                "labels": prepared.labels,
                "rejected": str(rejection) if rejection else None,
                "parts": sizes,
                "audit": prepared.audit,
                "notes": prepared.notes,
                "label_errors": suspected,
            }
        )
    else:
        for note in prepared.notes:
            console.print(f"  {note}", markup=False, highlight=False)
        console.print(_table(sizes, prepared.labels))
        if suspected:
            console.print(f"  {_describe(suspected)}", markup=False, highlight=False)
    if rejection:
        raise rejection


def _describe(suspected: Sequence[LabelError]) -> str:
    first = "; ".join(f"{row.where} {row.label}, probably {row.suggested_label}" for row in suspected[:_MAX_SHOWN])
    more = "; … (all with --json)" if len(suspected) > _MAX_SHOWN else ""
    return f"{len(suspected)} training rows may have a wrong label, judging by the other rows: {first}{more}"


def _table(sizes: dict[str, dict[str, int]], labels: tuple[str, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("part")
    for column in (*labels, "rows"):
        table.add_column(column.replace("[", r"\["), justify="right")
    for part, count in sizes.items():
        table.add_row(part, *(str(count.get(label, 0)) for label in labels), str(sum(count.values())))
    return table
