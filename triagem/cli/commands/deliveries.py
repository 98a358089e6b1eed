"""`triagem deliveries`: what is on its way to CRMs and people, and what was given up."""

from typing import TYPE_CHECKING, Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import Format, agreed, as_mapping, console, errors, print_json, print_rows

if TYPE_CHECKING:
    from triagem.db.deliveries import State

_STATES = ("waiting", "delivered", "gave-up", "overtaken")
_COLUMNS = ("id", "created_at", "target", "about", "state", "attempts", "next_at", "why")

deliveries = typer.Typer(
    no_args_is_help=True, help="Results on their way back to the CRMs, and messages about alerts."
)

_Ids = Annotated[list[int] | None, typer.Argument(min=1, max=2**63 - 1, help="The deliveries' ids.")]
_All = Annotated[bool, typer.Option("--all", help="All that were given up.")]
_Target = Annotated[
    str | None,
    typer.Option(help="A table of the CRM file, `shop.callback`, or a rule and its channel, `doubtful.team`."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(deliveries, name="deliveries")


@deliveries.command("list")
def list_(
    *,
    state: Annotated[str | None, typer.Option(help=f"{', '.join(_STATES)}.")] = None,
    target: _Target = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most deliveries.")] = 50,
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """List deliveries, newest first; `why` is what the last attempt failed of.

    Example: `triagem deliveries list --state gave-up`
    """
    chosen = _state(state)
    with servers.database() as database:
        from triagem.db.deliveries import deliveries

        rows = [as_mapping(one) for one in deliveries(database, state=chosen, target=target, limit=limit)]
    print_rows(rows, _COLUMNS, form)
    if form is Format.TABLE and not rows:
        errors.print("no deliveries", highlight=False)


@deliveries.command()
def replay(ids: _Ids = None, *, every: _All = False, target: _Target = None, as_json: _Json = False) -> None:
    """Try deliveries that were given up once more. Receivers know them by their id, and act once.

    Example: `triagem deliveries replay --all --target shop.callback`
    """
    _check(ids, every, target)
    with servers.database() as database:
        from triagem.db.deliveries import replay

        replayed = replay(database, ids=ids or None, target=target)
    _say("replayed", replayed, ids, as_json=as_json)


@deliveries.command()
def drop(
    ids: _Ids = None,
    *,
    every: _All = False,
    target: _Target = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Delete deliveries that were given up. Their results and alerts stay, and nobody is told.

    Example: `triagem deliveries drop 12 13 --yes`
    """
    _check(ids, every, target)
    agreed(f"Delete {'all' if every else len(set(ids or ()))} deliveries that were given up?", yes=yes)
    with servers.database() as database:
        from triagem.db.deliveries import drop

        dropped = drop(database, ids=ids or None, target=target)
    _say("dropped", dropped, ids, as_json=as_json)


def _state(name: str | None) -> "State | None":
    if name is None:
        return None
    if name not in _STATES:
        raise typer.BadParameter(f"expected one of {', '.join(_STATES)}", param_hint="--state")
    from triagem.db.deliveries import State

    return State(name)


def _check(ids: list[int] | None, every: bool, target: str | None) -> None:
    if bool(ids) == every:
        raise typer.BadParameter("name deliveries by their ids, or say --all")
    if target is not None and not every:
        raise typer.BadParameter("goes with --all", param_hint="--target")


def _say(what: str, count: int, ids: list[int] | None, *, as_json: bool) -> None:
    if as_json:
        print_json({what: count})
    else:
        console.print(f"{count:,} {what}", highlight=False)
        if missed := len(set(ids or ())) - count if ids else 0:
            console.print(f"{missed:,} were not given up, or are gone", highlight=False)
