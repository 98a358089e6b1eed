"""`triagem reband`: recomputes the bands of stored results with the present thresholds, without a model."""

from collections import Counter
from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Annotated, Any

import structlog
import typer
from rich.console import RenderableType

from triagem import servers
from triagem.cli.options import AsJson
from triagem.cli.output import errors, print_answer, print_lines, rows_table
from triagem.cli.progress import progress
from triagem.contracts.prediction import Band
from triagem.db.runs import reband as rebanding
from triagem.ops.reband import EffectiveThresholds, effective_thresholds
from triagem.worker.settings import WorkerSettings

log = structlog.get_logger(__name__)


def reband(
    *,
    review_under: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Overrides TRIAGEM_REVIEW_THRESHOLD and the versions' own thresholds."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give stored results the bands that a worker would assign now, by their stored confidence, without the model.

    No alert is sent and no result delivered. Repeating the command is harmless; if it was interrupted, run it again.

    Example: `triagem reband --review-under 0.8 --dry-run`
    """
    settings = WorkerSettings() if review_under is None else WorkerSettings(review_threshold=review_under)
    groups: Counter[rebanding.RebandGroup] = Counter()
    with servers.database() as database, progress("scan tickets") as update:
        effective = effective_thresholds(servers.registry(), database, settings)
        minimums = {thresholds.version: thresholds.min_confidence for thresholds in effective}
        for scanned, counts in rebanding.reband(database, minimums, dry_run=dry_run):
            groups.update(counts)
            update(advance=scanned)
    summary = _summarize(effective, groups)
    log.info("rebanded", tickets=summary["tickets"], changed=summary["changed"], dry_run=dry_run)
    print_answer({"dry_run": dry_run, **summary}, _describe(summary, dry_run=dry_run), as_json=as_json)
    for version, tickets in summary["skipped"].items():
        reason = "the registry has no readable manifest of this version"
        print_lines(f"skipped {tickets:,} tickets of {version}: {reason}", screen=errors)


def _summarize(effective: Iterable[EffectiveThresholds], groups: Counter[rebanding.RebandGroup]) -> dict[str, Any]:
    """The object that `--json` prints.

    The automated shares are null if there is no ticket; `budget_under` is null if the budget covers all tickets.
    """
    versions = {group.version for group in groups}
    tickets, changes, unchanged = groups.total(), Counter[tuple[str, str, str]](), Counter[str]()
    for group, number in groups.items():
        if group.before != group.after:
            changes[group.label, group.before, group.after] += number
        if not group.has_threshold:
            unchanged[group.version] += number

    def automated_share(moment: str) -> float | None:
        automated = sum(number for group, number in groups.items() if getattr(group, moment) == Band.AUTOMATE)
        return automated / tickets if tickets else None

    return {
        "versions": [
            {
                "version": version.version,
                "review_under": version.thresholds.review,
                "budget": version.thresholds.review_budget,
                "budget_under": version.budget_cutoff if isfinite(version.budget_cutoff) else None,
            }
            for version in effective
            if version.version in versions
        ],
        "tickets": tickets,
        "changed": changes.total(),
        "automated_before": automated_share("before"),
        "automated_after": automated_share("after"),
        "changes": [
            {"label": label, "before": before, "after": after, "tickets": number}
            for (label, before, after), number in sorted(changes.items())
        ],
        "skipped": dict(sorted(unchanged.items())),
    }


def _describe(summary: dict[str, Any], *, dry_run: bool) -> Iterator[RenderableType]:
    for version in summary["versions"]:
        line = f"{version['version']}: review under {version['review_under']:.3f}"
        if (cutoff := version["budget_under"]) != 0:
            line += f"; review budget, the least confident {version['budget']:.1%} of recent tickets: "
            line += "all" if cutoff is None else f"under {cutoff:.3f}"
        yield line
    if summary["changes"]:
        yield rows_table(summary["changes"], ("label", "before", "after", "tickets"))
    shares = [summary[name] for name in ("automated_before", "automated_after")]
    automated = "" if None in shares else "; automated: {:.1%} before, {:.1%} after".format(*shares)
    verb = "would change" if dry_run else "changed"
    yield f"{summary['changed']:,} of {summary['tickets']:,} tickets {verb}{automated}"
