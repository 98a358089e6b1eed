"""Prints the result of `triagem reclassify diff`."""

from triagem.cli.output import Format, cell, console, plain_table, print_json, print_lines, print_rows, printable
from triagem.db.runs import ReclassifyRun
from triagem.db.runs.diff import RunDiff

_GROUP_COLUMNS = ("source", "month", "before", "after", "tickets", "confidence_before", "confidence_after")


def print_run_diff(run: ReclassifyRun, diff: RunDiff, form: Format) -> None:
    """Print tables or JSON; as CSV print the groups only, from which all other figures can be computed."""
    if form is Format.CSV:
        print_rows(diff.groups, _GROUP_COLUMNS, form)
    elif form is Format.JSON:
        print_json(
            {
                "run": run.id,
                "version": run.version,
                "tickets": diff.tickets,
                "flips": diff.flips,
                "share": diff.share,
                "confidence_shift": diff.confidence_shift,
                "groups": diff.groups,
                "most_confident_flips": diff.most_confident,
            }
        )
    else:
        _print_tables(run, diff)


def _print_tables(run: ReclassifyRun, diff: RunDiff) -> None:
    if not diff.tickets:
        print_lines(f"{run.version}: no ticket of run {run.id} had a result before, so there is nothing to compare")
        return
    print_lines(
        f"{run.version} on {diff.tickets:,} tickets: {diff.flips:,} labels change ({diff.share:.1%}),"
        f" confidence {diff.confidence_shift:+.3f} on average"
    )
    matrix = diff.matrix
    labels_before, labels_after = ({pair[index] for pair in matrix} for index in (0, 1))
    table = plain_table("before / after", *sorted(labels_after))
    for before in sorted(labels_before):
        table.add_row(cell(before), *(f"{matrix.get((before, after), 0):,}" for after in sorted(labels_after)))
    console.print(table)
    by_source = plain_table("source", "month", "tickets", "flips", "share")
    for (source, month), (tickets, flips) in diff.by_source_month.items():
        by_source.add_row(cell(source), month, f"{tickets:,}", f"{flips:,}", f"{flips / tickets:.1%}")
    console.print(by_source)
    for flip in diff.most_confident:
        reviewed = f", reviewed as {flip.reviewed}" if flip.reviewed else ""
        change = f"{flip.before} {flip.confidence_before:.2f} → {flip.after} {flip.confidence_after:.2f}{reviewed}"
        text = " ".join(printable(flip.text or "(purged)").split())
        console.print(
            f"  {printable(flip.source)} {printable(flip.external_id)}  {change}  {text}",
            markup=False,
            highlight=False,
            no_wrap=True,
            overflow="ellipsis",
        )
