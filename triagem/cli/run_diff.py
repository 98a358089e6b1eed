"""How `triagem reclassify diff` prints what a run changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from triagem.cli.output import Format, as_mapping, console, print_json, print_rows, visible

if TYPE_CHECKING:
    from triagem.db.run_diff import Diff
    from triagem.db.runs import Run

_GROUP = ("source", "month", "before", "after", "tickets", "confidence_before", "confidence_after")


def print_diff(run: Run, found: Diff, form: Format) -> None:
    """For people, for programs, or the groups as CSV: from these all else can be counted."""
    if form is Format.CSV:
        print_rows([as_mapping(group) for group in found.groups], _GROUP, form)
    elif form is Format.JSON:
        print_json(
            {
                "run": run.id,
                "version": run.version,
                "tickets": found.tickets,
                "flips": found.flips,
                "share": found.share,
                "confidence_shift": found.confidence_shift,
                "groups": found.groups,
                "surest_flips": found.surest,
            }
        )
    else:
        _print_table(run, found)


def _print_table(run: Run, found: Diff) -> None:
    console.print(
        f"{run.version} on {found.tickets:,} tickets: {found.flips:,} labels change ({found.share:.1%}),"
        f" confidence {found.confidence_shift:+.3f} on average",
        markup=False,
        highlight=False,
    )
    matrix = found.matrix
    befores, afters = ({pair[place] for pair in matrix} for place in (0, 1))
    table = _table("before / after", *sorted(afters))
    for before in sorted(befores):
        table.add_row(_cell(before), *(f"{matrix.get((before, after), 0):,}" for after in sorted(afters)))
    console.print(table)
    places = _table("source", "month", "tickets", "flips", "share")
    for (source, month), (tickets, flips) in found.places.items():
        places.add_row(_cell(source), month, f"{tickets:,}", f"{flips:,}", f"{flips / tickets:.1%}")
    console.print(places)
    for flip in found.surest:
        reviewed = f", a person said {flip.reviewed}" if flip.reviewed else ""
        said = f"{flip.before} {flip.confidence_before:.2f} → {flip.after} {flip.confidence_after:.2f}{reviewed}"
        words = " ".join(visible(flip.text or "(purged)").split())
        console.print(
            f"  {visible(flip.source)} {visible(flip.external_id)}  {said}  {words}",
            markup=False,
            highlight=False,
            no_wrap=True,
            overflow="ellipsis",
        )


def _cell(name: str) -> str:
    return visible(name).replace("[", r"\[")


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(_cell(name), justify="right" if place else "left")
    return table
