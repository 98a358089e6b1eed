"""`triagem rejudge`: bands of stored results by other thresholds, without a model."""

from __future__ import annotations

from collections import Counter
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from triagem.cli import servers
from triagem.cli.output import Format, console, errors, print_json, print_rows, progress, when
from triagem.contracts.prediction import Band

if TYPE_CHECKING:
    from collections.abc import Iterable

    from triagem.db.rejudge import Group
    from triagem.worker.rejudge import Bar

log = structlog.get_logger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rejudge)


def rejudge(
    *,
    review_under: Annotated[
        float | None, typer.Option(min=0, max=1, help="Instead of TRIAGEM_REVIEW_UNDER and the versions' thresholds.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Received at or after: `2026-11-02` or a time; UTC.")] = None,
    source: Annotated[str | None, typer.Option(help="The CRM's name.")] = None,
    model: Annotated[str | None, typer.Option(help="Only results of this version, e.g. `v1.0.0`.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Give stored results the bands that a worker would give them now, from their confidence, without the model.

    Tells nobody: no alert, no callback. A second run changes nothing; one that was stopped is simply run again.

    Example: `triagem rejudge --review-under 0.8 --dry-run`
    """
    database = servers.database()
    from triagem.db.rejudge import rejudge
    from triagem.registry import Registry, RegistrySettings
    from triagem.worker.rejudge import bars
    from triagem.worker.settings import WorkerSettings

    settings = WorkerSettings() if review_under is None else WorkerSettings(review_under=review_under)
    begin = when(since, "--since")
    groups: Counter[Group] = Counter()
    with database, progress(errors) as screen:
        found = bars(Registry(RegistrySettings().registry_url), database, settings, model)
        floors = {bar.version: bar.floor for bar in found}
        task = screen.add_task("look at tickets", total=None)
        for page in rejudge(database, floors, source=source, model=model, since=begin, dry_run=dry_run):
            groups.update(page.groups)
            screen.advance(task, page.looked)
    report = _report(found, groups)
    log.info("rejudged", tickets=report["tickets"], changed=report["changed"], dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, **report})
    else:
        _show(report, dry_run=dry_run)


def _report(bars: Iterable[Bar], groups: Counter[Group]) -> dict[str, Any]:
    """What `--json` prints. A share is null where there is no ticket, a `budget_under` where the budget is all."""
    met = {group.version for group in groups}
    tickets, changes, left = groups.total(), Counter[tuple[str, str, str]](), Counter[str]()
    for group, number in groups.items():
        if group.before != group.after:
            changes[group.label, group.before, group.after] += number
        if not group.known:
            left[group.version] += number

    def automated(when: str) -> float | None:
        of = sum(number for group, number in groups.items() if getattr(group, when) == Band.AUTOMATE)
        return of / tickets if tickets else None

    return {
        "versions": [
            {
                "version": bar.version,
                "review_under": bar.thresholds.review,
                "budget": bar.thresholds.review_budget,
                "budget_under": bar.cutoff if isfinite(bar.cutoff) else None,
            }
            for bar in bars
            if bar.version in met
        ],
        "tickets": tickets,
        "changed": changes.total(),
        "automated_before": automated("before"),
        "automated_after": automated("after"),
        "changes": [
            {"label": label, "before": before, "after": after, "tickets": number}
            for (label, before, after), number in sorted(changes.items())
        ],
        "left_alone": dict(sorted(left.items())),
    }


def _show(report: dict[str, Any], *, dry_run: bool) -> None:
    for bar in report["versions"]:
        said = f"{bar['version']}: review under {bar['review_under']:.3f}"
        if (under := bar["budget_under"]) != 0:
            said += f"; the least sure {bar['budget']:.1%} of recent tickets: "
            said += "all" if under is None else f"under {under:.3f}"
        console.print(said, markup=False, highlight=False)
    if report["changes"]:
        print_rows(report["changes"], ("label", "before", "after", "tickets"), Format.TABLE)
    shares = [report[name] for name in ("automated_before", "automated_after")]
    to = "" if None in shares else "; automated: {:.1%} before, {:.1%} after".format(*shares)
    verb = "would change" if dry_run else "changed"
    console.print(f"{report['changed']:,} of {report['tickets']:,} tickets {verb}{to}", highlight=False)
    for version, tickets in report["left_alone"].items():
        errors.print(
            f"left alone: {tickets:,} of {version}, of which the registry has no manifest",
            markup=False,
            highlight=False,
        )
