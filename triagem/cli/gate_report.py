"""Prints a decision of the promotion gate: metrics of both versions, notes, and reasons for a rejection."""

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from triagem.registry.decision import CandidateMetrics, Comparison, Decision, Reject, Rule


def print_gate_decision(decision: Decision, screen: Console) -> None:
    """Print the decision with its evidence."""
    evidence = decision.evidence
    if evidence.candidate_metrics:
        metrics, comparison = evidence.candidate_metrics, evidence.comparison
        screen.print(_table(evidence.candidate, evidence.current, metrics, comparison))
        for line in _lines(evidence.rule, evidence.excluded_rows, metrics, comparison):
            screen.print(f"  {line}", markup=False, highlight=False)
    for note in evidence.notes:
        screen.print(f"  {note}", markup=False, highlight=False)
    against = f"against {evidence.current}" if evidence.current else "as the first version"
    if isinstance(decision, Reject):
        screen.print(f"[red]rejected[/red]: {evidence.candidate} {against}", highlight=False)
        for reason in decision.reasons:
            screen.print(f"  [red]·[/red] {escape(reason)}", highlight=False, soft_wrap=True)
    else:
        screen.print(f"[green]passed[/green]: {evidence.candidate} {against}", highlight=False)


def _table(candidate: str, current: str | None, metrics: CandidateMetrics, comparison: Comparison | None) -> Table:
    versions = "neither version" if current else "it"
    verb = "was" if current else "was not"
    table = Table(title=f"{metrics.rows:,} test rows that {versions} {verb} trained on", title_justify="left")
    table.add_column()
    table.add_column(candidate, justify="right")
    if current:
        table.add_column(current, justify="right")

    def add_row(name: str, candidate_value: str, current_value: str) -> None:
        table.add_row(name, candidate_value, *([current_value] if current else []))

    add_row("accuracy", f"{metrics.accuracy:.3f}", f"{comparison.accuracy:.3f}" if comparison else "")
    for label, recall in metrics.recalls.items():
        current_recall = recall.current_true_positives
        add_row(
            f"recall of {escape(label)}, {recall.rows:,} rows",
            _share(recall.true_positives, recall.rows),
            "" if current_recall is None else _share(current_recall, recall.rows),
        )
    add_row("NLL", f"{metrics.nll:.3f}", f"{comparison.nll:.3f}" if comparison else "")
    current_cost = comparison.mflops_per_token if comparison else None
    if metrics.mflops_per_token is not None or current_cost is not None:
        add_row("mflops_per_token", _format_cost(metrics.mflops_per_token), _format_cost(current_cost))
    return table


def _lines(
    rule: Rule | None, excluded_rows: int, metrics: CandidateMetrics, comparison: Comparison | None
) -> Iterator[str]:
    if comparison is None:
        yield f"always predicting the most frequent label would have accuracy {metrics.most_frequent:.3f}"
    else:
        p_value = f"McNemar's exact p {comparison.p_value:.3g}"
        yield f"{comparison.gained:,} rows gained, {comparison.lost:,} lost: {p_value}"
        gain = metrics.accuracy - comparison.accuracy
        yield f"difference in accuracy {gain:+.3f}, above {comparison.lower_bound:+.3f} with 95% confidence"
        event = (
            f"an equally good version passes {rule}"
            if rule is Rule.NON_INFERIOR
            else "a true difference of 0.02 is detected"
        )
        yield f"with about {comparison.rows_needed:,} rows, {event} 4 times in 5"
    if excluded_rows:
        yield f"{excluded_rows:,} more test rows are excluded: a version was trained on them"


def _share(part: int, rows: int) -> str:
    return f"{part / rows:.3f}" if rows else "-"


def _format_cost(cost: float | None) -> str:
    return "" if cost is None else f"{cost:.1f}"
