"""`triagem drift` and `triagem due`: whether messages have changed, and whether to train again."""

from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from triagem import servers
from triagem.cli.output import as_mapping, console, parse_time, print_json


def due(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Report whether the current model should be retrained, and why. Exit status 3 if so, 0 if not.

    Example: `triagem due || triagem alerts list`
    """
    from triagem.registry import Registry, RegistrySettings
    from triagem.trainer.monitor.due import Due, check_due, distances, read_facts
    from triagem.trainer.settings import DueSettings

    rules = DueSettings()
    with servers.database() as database:
        facts = read_facts(database, Registry(RegistrySettings().registry_url), datetime.now(UTC))
    decision = check_due(facts, rules)
    reasons = decision.reasons if isinstance(decision, Due) else ()
    lines = [f"{facts.version}: retraining is not due", *(f"  {line}" for line in distances(facts, rules))]
    if reasons:
        lines[0] = f"retraining of {facts.version} is due:"
        lines[1:1] = [f"  {reason.trigger}: {reason.message}" for reason in reasons]
        lines += ["next: triagem review export new.jsonl", f"      triagem train DATA_DIR --from {facts.version}"]
    if as_json:
        print_json({"due": bool(reasons), "reasons": reasons, "facts": as_mapping(facts)})
    else:
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    if reasons:
        raise typer.Exit(3)


DRIFTED: Final = 3


def drift(
    *,
    model: Annotated[str | None, typer.Option(help="Model version; default: the current one.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Samples taken at or after: `2026-11-02`, or a date and time; UTC by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare samples of recent live tickets with a version's reference, and store the report.

    Exit status 3 on drift, 0 without drift or with too few samples. docs/how-to/training.md describes the method.

    Example: `triagem drift --since 2026-11-01`
    """
    database = servers.database()
    from triagem.registry import Registry, RegistrySettings
    from triagem.trainer.monitor.drift import check

    with database:
        report = check(
            database, Registry(RegistrySettings().registry_url), version=model, since=parse_time(since, "--since")
        )
    if as_json:
        print_json(as_mapping(report) | {"drifted": report.drifted})
    else:
        for line in report.lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if report.drifted:
        raise typer.Exit(DRIFTED)
