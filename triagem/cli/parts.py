"""What `triagem train --check` shows: what is wrong with labelled rows, and the parts they would be split into."""

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

_SHOWN = 5


def check(
    data: Path,
    registry: Registry,
    settings: TrainSettings,
    *,
    parent: str | None,
    allow_leakage: bool,
    as_json: bool,
) -> None:
    """Print what training would learn from. Raises InvalidInput where training would refuse it, after printing."""
    from triagem.trainer.audit import refuse_leaks
    from triagem.trainer.label_errors import label_errors
    from triagem.trainer.prepare import prepare

    with errors.status("comparing the rows"):
        ready = prepare(data, registry, settings, parent=parent, allow_leakage=True)
    with errors.status("asking of each row what the others say"):
        doubtful = label_errors(ready.parts.train, ready.labels, seed=settings.seed)
    refused = None
    try:
        if not allow_leakage:
            refuse_leaks(ready.audit)
    except InvalidInput as error:
        refused = error
    sizes = {
        part: dict(Counter(row.label for row in getattr(ready.parts, part)))
        for part in ("train", "dev", "calibration", "test")
    }
    if as_json:
        told = {"labels": ready.labels, "refused": str(refused) if refused else None, "parts": sizes}
        print_json(told | {"audit": ready.audit, "notes": ready.notes, "label_errors": doubtful})
    else:
        for note in ready.notes:
            console.print(f"  {note}", markup=False, highlight=False)
        console.print(_table(sizes, ready.labels))
        if doubtful:
            console.print(f"  {_doubts(doubtful)}", markup=False, highlight=False)
    if refused:
        raise refused


def _doubts(found: Sequence[LabelError]) -> str:
    first = "; ".join(f"{one.where} {one.label}, rather {one.instead}" for one in found[:_SHOWN])
    more = "; … (--json has all)" if len(found) > _SHOWN else ""
    return f"{len(found)} training rows are worth a look, by what the others say of them: {first}{more}"


def _table(sizes: dict[str, dict[str, int]], labels: tuple[str, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("part")
    for column in (*labels, "rows"):
        table.add_column(column.replace("[", r"\["), justify="right")
    for part, count in sizes.items():
        table.add_row(part, *(str(count.get(label, 0)) for label in labels), str(sum(count.values())))
    return table
