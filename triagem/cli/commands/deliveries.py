"""`triagem deliveries`: lists outgoing deliveries, and replays or drops failed ones."""

from typing import TYPE_CHECKING, Annotated

import typer

from triagem import servers
from triagem.cli.output import (
    Format,
    FormatOption,
    JsonFlag,
    as_mapping,
    confirm,
    console,
    errors,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    from triagem.db.outbox.deliveries import DeliveryState

_STATES = ("waiting", "delivered", "failed", "superseded", "dropped")
_COLUMNS = ("id", "created_at", "target", "about", "state", "attempts", "next_at", "last_error")

deliveries = typer.Typer(no_args_is_help=True, help="Deliveries of results to CRMs and of alerts to people.")

_Ids = Annotated[list[int] | None, typer.Argument(min=1, max=2**63 - 1, help="Ids of deliveries.")]
_All = Annotated[bool, typer.Option("--all", help="All failed deliveries.")]
_Target = Annotated[
    str | None,
    typer.Option(help="A table of the CRM file, such as `shop.callback`, or a rule's channel, `doubtful.team`."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@deliveries.command("list")
def list_(
    *,
    state: Annotated[str | None, typer.Option(help=f"One of {', '.join(_STATES)}.")] = None,
    target: _Target = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of deliveries.")] = 50,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """List deliveries, newest first; `last_error` is why the last attempt failed.

    Example: `triagem deliveries list --state failed`
    """
    wanted_state = _parse_state(state)
    with servers.database() as database:
        from triagem.db.outbox.deliveries import list_deliveries

        summaries = list_deliveries(database, state=wanted_state, target=target, limit=limit)
        rows = [as_mapping(delivery) for delivery in summaries]
    print_rows(rows, _COLUMNS, form)
    if form is Format.TABLE and not rows:
        errors.print("no deliveries", highlight=False)


@deliveries.command()
def replay(ids: _Ids = None, *, every: _All = False, target: _Target = None, as_json: _Json = False) -> None:
    """Retry failed deliveries. A delivery keeps its id, so a receiver that has seen it can ignore it.

    Example: `triagem deliveries replay --all --target shop.callback`
    """
    _check(ids, every, target)
    with servers.database() as database:
        from triagem.db.outbox.deliveries import replay_deliveries

        replayed = replay_deliveries(database, ids=ids or None, target=target)
    _print_count("replayed", replayed, ids, as_json=as_json)


@deliveries.command()
def drop(
    ids: _Ids = None,
    *,
    every: _All = False,
    target: _Target = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: _Json = False,
) -> None:
    """Give up failed deliveries. Their results and alerts stay; a later result of the same ticket is sent.

    Example: `triagem deliveries drop 12 13 --yes`
    """
    _check(ids, every, target)
    confirm(f"Drop {'all' if every else len(set(ids or ()))} failed deliveries?", yes=yes)
    with servers.database() as database:
        from triagem.db.outbox.deliveries import drop_deliveries

        dropped = drop_deliveries(database, ids=ids or None, target=target)
    _print_count("dropped", dropped, ids, as_json=as_json)


def _parse_state(name: str | None) -> "DeliveryState | None":
    if name is None:
        return None
    if name not in _STATES:
        raise typer.BadParameter(f"expected one of {', '.join(_STATES)}", param_hint="--state")
    from triagem.db.outbox.deliveries import DeliveryState

    return DeliveryState(name)


def _check(ids: list[int] | None, every: bool, target: str | None) -> None:
    if bool(ids) == every:
        raise typer.BadParameter("give either ids or --all")
    if target is not None and not every:
        raise typer.BadParameter("requires --all", param_hint="--target")


def _print_count(action: str, count: int, ids: list[int] | None, *, as_json: bool) -> None:
    if as_json:
        print_json({action: count})
    else:
        console.print(f"{count:,} {action}", highlight=False)
        if skipped := len(set(ids or ())) - count if ids else 0:
            console.print(f"{skipped:,} skipped: not failed, or already dropped", highlight=False)
