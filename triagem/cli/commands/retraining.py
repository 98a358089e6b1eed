"""`triagem drift`, `due` and `retrain`: whether messages have changed, whether to train again, and the request to."""

from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from triagem import servers
from triagem.cli.commands.jobs import request_job
from triagem.cli.options import AsJson, parse_time
from triagem.cli.output import as_mapping, print_answer
from triagem.db.training_jobs import JobKind
from triagem.trainer.settings import DueSettings


def due(*, as_json: AsJson = False) -> None:
    """Report whether the current model should be retrained, and why. Exit status 3 if so, 0 if not.

    Example: `triagem due || triagem alerts list`
    """
    from triagem.trainer.monitor.due import check_due, distances, read_facts

    rules = DueSettings()
    with servers.database() as database:
        facts = read_facts(database, servers.registry(), datetime.now(UTC))
    reasons = check_due(facts, rules)
    lines = [f"{facts.version}: retraining is not due", *(f"  {line}" for line in distances(facts, rules))]
    if reasons:
        lines[0] = f"retraining of {facts.version} is due:"
        lines[1:1] = [f"  {reason.trigger}: {reason.message}" for reason in reasons]
        lines += ["next: triagem review export new.jsonl", f"      triagem train DATA_DIR --from {facts.version}"]
    print_answer({"due": bool(reasons), "reasons": reasons, "facts": facts}, lines, as_json=as_json)
    if reasons:
        raise typer.Exit(3)


DRIFTED: Final = 3


def drift(
    *,
    model: Annotated[str | None, typer.Option(help="Model version; default: the current one.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Samples taken at or after: `2026-11-02`, or a date and time; UTC by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare samples of recent live tickets with a version's reference, and store the report.

    Exit status 3 on drift, 0 without drift or with too few samples. docs/how-to/training.md describes the method.

    Example: `triagem drift --since 2026-11-01`
    """
    from triagem.trainer.monitor.drift import check

    with servers.database() as database:
        report = check(database, servers.registry(), version=model, since=parse_time(since, "--since"))
    print_answer(as_mapping(report) | {"drifted": report.drifted}, report.lines(), as_json=as_json)
    if report.drifted:
        raise typer.Exit(DRIFTED)


def retrain(
    *,
    promote: Annotated[
        bool, typer.Option("--promote", help="Make the version current if it passes the gate; default: propose it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Request a training on the rows of TRIAGEM_TRAINER_DATA and the agreed labels of reviews.

    `triagem trainer` runs it. A version that passes the gate is proposed: workers classify recent tickets with it,
    results stay, and a person compares (`triagem reclassify diff`) and promotes it. TRIAGEM_RETRAIN_AT does the same
    by schedule.

    Example: `triagem retrain`
    """
    request_job(JobKind.FULL, {"promote": "auto" if promote else "propose"}, as_json=as_json)
