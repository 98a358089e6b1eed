"""`triagem due`: reports whether the model should be retrained, and why."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import as_mapping, console, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(due)


def due(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Report whether the current model should be retrained, and why. Exit status 3 if so, 0 if not.

    Example: `triagem due || triagem alerts list`
    """
    from triagem.registry import Registry, RegistrySettings
    from triagem.trainer.due import Due, check_due
    from triagem.trainer.retraining_facts import read_facts
    from triagem.trainer.settings import DueSettings

    rules = DueSettings()
    with servers.database() as database:
        facts = read_facts(database, Registry(RegistrySettings().registry_url), datetime.now(UTC))
    decision = check_due(facts, rules)
    reasons = decision.reasons if isinstance(decision, Due) else ()
    if as_json:
        print_json({"due": bool(reasons), "reasons": reasons, "facts": as_mapping(facts)})
    elif reasons:
        lines = [f"retraining of {facts.version} is due:"]
        lines += [f"  {reason.trigger}: {reason.message}" for reason in reasons]
        lines += ["next: triagem review export new.jsonl", f"      triagem train DATA_DIR --from {facts.version}"]
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(f"{facts.version}: retraining is not due", markup=False, highlight=False)
    if reasons:
        raise typer.Exit(3)
