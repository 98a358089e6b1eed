"""`triagem due`: is it time to train again, and why."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import as_mapping, console, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(due)


def due(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say whether the current model should be trained again, and why: exit status 3 if so, 0 if not.

    Example: `triagem due || triagem alerts list`
    """
    from triagem.registry import Registry, RegistrySettings
    from triagem.trainer import due as judging
    from triagem.trainer.due_facts import facts
    from triagem.trainer.settings import DueSettings

    rules = DueSettings()
    with servers.database() as database:
        known = facts(database, Registry(RegistrySettings().registry_url), datetime.now(UTC))
    found = judging.due(known, rules)
    reasons = found.reasons if isinstance(found, judging.Due) else ()
    if as_json:
        print_json({"due": bool(reasons), "reasons": reasons, "facts": as_mapping(known)})
    elif reasons:
        lines = [f"{known.version} should be trained again:", *(f"  {one.trigger}: {one.says}" for one in reasons)]
        lines += ["next: triagem review export new.jsonl", f"      triagem train DATA_DIR --from {known.version}"]
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(f"{known.version}: not yet", markup=False, highlight=False)
    if reasons:
        raise typer.Exit(3)
