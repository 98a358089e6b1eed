"""`triagem deliveries`: lists outgoing deliveries, and replays or drops failed ones."""

from typing import Annotated

import typer

from triagem import servers
from triagem.cli.options import AsJson, FormatOption, Ids, JsonFlag, Yes, confirm, require_selection
from triagem.cli.output import Format, print_answer, print_rows
from triagem.db.outbox.deliveries import DeliveryState, drop_deliveries, list_deliveries, replay_deliveries

_COLUMNS = ("id", "created_at", "target", "about", "state", "attempts", "next_at", "last_error")

deliveries = typer.Typer(no_args_is_help=True, help="Deliveries of results to CRMs and of alerts to people.")

_All = Annotated[bool, typer.Option("--all", help="All failed deliveries.")]
_Target = Annotated[
    str | None,
    typer.Option(help="A table of the CRM file, `shop.callback`, or a rule and its channel, `doubtful.team`."),
]


@deliveries.command("list")
def list_(
    *,
    state: Annotated[DeliveryState | None, typer.Option(help=f"One of {', '.join(DeliveryState)}.")] = None,
    target: _Target = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of deliveries.")] = 50,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """List deliveries, newest first; `last_error` says why the last attempt failed.

    Example: `triagem deliveries list --state failed`
    """
    with servers.database() as database:
        listed = list_deliveries(database, state=state, target=target, limit=limit)
    print_rows(listed, _COLUMNS, form, empty="no deliveries")


@deliveries.command()
def replay(ids: Ids = None, *, every: _All = False, target: _Target = None, as_json: AsJson = False) -> None:
    """Retry failed deliveries. A delivery keeps its id, so a receiver that has seen it can ignore it.

    Example: `triagem deliveries replay --all --target shop.callback`
    """
    require_selection(ids, every, target=target)
    with servers.database() as database:
        replayed = replay_deliveries(database, ids=ids or None, target=target)
    _print_count("replayed", replayed, ids, as_json=as_json)


@deliveries.command()
def drop(
    ids: Ids = None,
    *,
    every: _All = False,
    target: _Target = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give up failed deliveries. Their results and alerts stay; later results of the same tickets are still sent.

    Example: `triagem deliveries drop 12 13 --yes`
    """
    require_selection(ids, every, target=target)
    confirm(f"Drop {'all' if every else len(set(ids or ()))} failed deliveries?", yes=yes)
    with servers.database() as database:
        dropped = drop_deliveries(database, ids=ids or None, target=target)
    _print_count("dropped", dropped, ids, as_json=as_json)


def _print_count(action: str, count: int, ids: list[int] | None, *, as_json: bool) -> None:
    skipped = len(set(ids)) - count if ids else 0
    lines = [f"{skipped:,} skipped: not failed, or already dropped"] if skipped else []
    print_answer({action: count}, [f"{count:,} {action}", *lines], as_json=as_json)
