"""What the gate says, for people: the figures side by side, the reasons, and what to do next."""

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from triagem.registry.decision import Compared, Decision, Measured, Reject, Rule


def print_verdict(decision: Decision, screen: Console) -> None:
    """A table of the figures, notes, and the reasons of a rejection."""
    figures = decision.figures
    if figures.measured:
        screen.print(_table(figures.candidate, figures.current, figures.measured, figures.compared))
        for line in _lines(figures.rule, figures.left_out, figures.measured, figures.compared):
            screen.print(f"  {line}", markup=False, highlight=False)
    for note in figures.notes:
        screen.print(f"  {note}", markup=False, highlight=False)
    against = f"against {figures.current}" if figures.current else "as the first version"
    if isinstance(decision, Reject):
        screen.print(f"[red]rejected[/red]: {figures.candidate} {against}", highlight=False)
        for reason in decision.reasons:
            screen.print(f"  [red]·[/red] {escape(reason)}", highlight=False, soft_wrap=True)
    else:
        screen.print(f"[green]passes[/green]: {figures.candidate} {against}", highlight=False)


def _table(candidate: str, current: str | None, measured: Measured, compared: Compared | None) -> Table:
    nobody = "neither" if current else "it never"
    table = Table(title=f"{measured.rows:,} test rows that {nobody} learned from", title_justify="left")
    table.add_column()
    table.add_column(candidate, justify="right")
    if current:
        table.add_column(current, justify="right")

    def row(name: str, one: str, other: str) -> None:
        table.add_row(name, one, *([other] if current else []))

    row("accuracy", f"{measured.accuracy:.3f}", f"{compared.accuracy:.3f}" if compared else "")
    for label, recall in measured.recalls.items():
        former = recall.found_by_current
        row(
            f"recall of {escape(label)}, {recall.rows:,} rows",
            _share(recall.found, recall.rows),
            "" if former is None else _share(former, recall.rows),
        )
    row("NLL", f"{measured.nll:.3f}", f"{compared.nll:.3f}" if compared else "")
    former_cost = compared.mflops_per_token if compared else None
    if measured.mflops_per_token is not None or former_cost is not None:
        row("mflops_per_token", _known(measured.mflops_per_token), _known(former_cost))
    return table


def _lines(rule: Rule | None, left_out: int, measured: Measured, compared: Compared | None) -> Iterator[str]:
    if compared is None:
        yield f"always saying the most frequent label would be right in {measured.most_frequent:.3f}"
    else:
        yield f"{compared.gained:,} rows gained, {compared.lost:,} lost: McNemar's exact p {compared.p_value:.3g}"
        gain = measured.accuracy - compared.accuracy
        yield f"the difference is {gain:+.3f}, with 95 % confidence above {compared.lower_bound:+.3f}"
        what = f"an equal version passes {rule}" if rule is Rule.NON_INFERIOR else "a true difference of 0.02 is seen"
        yield f"{what} 4 times in 5 on about {compared.rows_needed:,} rows"
    if left_out:
        yield f"{left_out:,} more test rows were learned from, and do not count"


def _share(found: int, rows: int) -> str:
    return f"{found / rows:.3f}" if rows else "-"


def _known(cost: float | None) -> str:
    return "" if cost is None else f"{cost:.1f}"
