"""`triagem models promote`, `compare` and `rollback`: which version is current, and whether it should be."""

from typing import Annotated

import typer

from triagem.cli.output import as_mapping, console, print_json
from triagem.cli.verdict import print_verdict
from triagem.contracts.errors import NoModel
from triagem.registry import Registry, RegistrySettings
from triagem.registry.decision import Reject, Rule

_RULE = typer.Option("--rule", help="improve: better by 0.02 and not by chance; non-inferior: not worse by 0.01.")
_JSON = typer.Option("--json", help="Print figures and reasons as JSON.")


def register(models: typer.Typer) -> None:
    """Add the commands to `triagem models`."""
    for command in (compare, promote, rollback):
        models.command()(command)


def compare(
    version: Annotated[str, typer.Argument(help="e.g. v1.1.0")],
    other: Annotated[str | None, typer.Argument(help="Default: the current version.")] = None,
    *,
    rule: Annotated[Rule, _RULE] = Rule.IMPROVE,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Say what the gate would say of a version, and change nothing.

    Example: `triagem models compare v1.1.0 v1.0.0`
    """
    from triagem.registry.promote import consider

    decision = consider(_registry(), version, other, rule)
    if as_json:
        print_json(decision)
    else:
        print_verdict(decision, console)


def promote(
    version: Annotated[str, typer.Argument(help="e.g. v1.1.0")],
    *,
    rule: Annotated[Rule, _RULE] = Rule.IMPROVE,
    force: Annotated[bool, typer.Option("--force", help="Whatever the gate says; it goes into the log.")] = False,
    reason: Annotated[str | None, typer.Option(help="With --force: why. It goes into the log.")] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Make a version current if the gate lets it through; running workers load it beside their work and swap.

    The gate compares what both versions said of test rows that neither learned from. Exit status 1: rejected.

    Example: `triagem models promote v1.1.0 --rule non-inferior`
    """
    from triagem.registry.promote import through_gate

    if force != bool(reason and reason.strip()):
        raise typer.BadParameter("--force and --reason go together: who reads the log later wants to know why")
    registry = _registry()
    if not force and _is_current(registry, version):
        if as_json:
            print_json({"decision": None, "current": registry.current().model_dump(), "forced": False})
        else:
            console.print(f"{version} is current already", highlight=False)
        return
    decision, current = through_gate(registry, version, rule, force=reason)
    if as_json:
        print_json(as_mapping(decision) | {"current": current and current.model_dump(), "forced": force})
    else:
        print_verdict(decision, console)
        if current:
            forced = ", by force" if isinstance(decision, Reject) else ""
            console.print(f"{current.version} is current (epoch {current.epoch}){forced}", highlight=False)
    if current is None:
        raise typer.Exit(1)


def rollback(*, reason: Annotated[str, typer.Option(help="Why; it goes into the log.")] = "") -> None:
    """Make the version current that was so before the present one. Twice leads further back, not to and fro.

    Example: `triagem models rollback --reason "misses refunds"`
    """
    current = _registry().rollback(reason)
    console.print(f"{current.version} is current (epoch {current.epoch})", highlight=False)


def _registry() -> Registry:
    return Registry(RegistrySettings().registry_url)


def _is_current(registry: Registry, version: str) -> bool:
    try:
        return registry.current().version == version
    except NoModel:
        return False
