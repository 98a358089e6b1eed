"""`triagem dead`: what could not be classified, to look at, to try again, to drop."""

from typing import Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import (
    Format,
    agreed,
    as_mapping,
    console,
    errors,
    print_json,
    print_rows,
    progress,
    visible,
    when,
)
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import Lane

_COLUMNS = ("id", "lane", "died_at", "attempts", "reason", "size")

dead = typer.Typer(no_args_is_help=True, help="Dead letters: what could not be read or classified.")

_Id = Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="The letter's id.")]
_Ids = Annotated[list[int] | None, typer.Argument(min=1, max=2**63 - 1, help="The letters' ids.")]
_All = Annotated[bool, typer.Option("--all", help="All letters.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(dead, name="dead")


@dead.command("list")
def list_letters(
    *,
    lane: Annotated[Lane | None, typer.Option(help="`live` or `bulk`.")] = None,
    since: Annotated[str | None, typer.Option(help="Died at or after: `2026-11-02` or a time; UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most letters.")] = 50,
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """List dead letters, newest first, without what they hold; `size` is in bytes.

    Example: `triagem dead list --lane live --since 2026-11-01`
    """
    database = servers.database()
    from triagem.db.dead import letters

    with database:
        found = letters(database, lane=lane, since=when(since, "--since"), limit=limit)
    print_rows([as_mapping(letter) for letter in found], _COLUMNS, form)
    if form is Format.TABLE and not found:
        errors.print("no dead letters", highlight=False)


@dead.command()
def show(letter_id: _Id, *, as_json: _Json = False) -> None:
    """Show one dead letter with its payload: a customer's text, where the others show none.

    Example: `triagem dead show 12`
    """
    database = servers.database()
    from triagem.db.dead import opened

    with database:
        letter = opened(database, letter_id)
    if letter is None:
        raise InvalidInput(f"no dead letter {letter_id}: it was replayed or dropped")
    try:
        payload = letter.payload.decode()
    except UnicodeDecodeError:
        payload = None
    if as_json:
        shown = as_mapping(letter) | {"payload": payload}
        print_json(shown if payload is not None else shown | {"payload_hex": letter.payload.hex()})
        return
    print_rows([as_mapping(letter)], ("id", "lane", "entry_id", "died_at", "attempts", "size"), Format.TABLE)
    console.print(f"\n{letter.reason}\n", markup=False, highlight=False)
    if payload is None:
        payload = f"(not UTF-8, in hexadecimal) {letter.payload.hex()}"
    console.print(visible(payload) or "(empty)", markup=False, highlight=False, soft_wrap=True)


@dead.command()
def replay(
    ids: _Ids = None,
    *,
    every: _All = False,
    reason_contains: Annotated[
        str | None, typer.Option(help="With --all: only letters whose reason has these words.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Put dead letters back on their lanes. Replaying one twice is harmless.

    Example: `triagem dead replay --all --reason-contains "wire version"`
    """
    _check(ids, every)
    if reason_contains is not None and not every:
        raise typer.BadParameter("goes with --all", param_hint="--reason-contains")
    inbox, database = servers.inbox(), servers.database()
    from triagem.gateway.replay import replay
    from triagem.producer.crm import CrmSettings, load

    file = CrmSettings().crm_file

    with database, progress(errors) as bar:
        task = bar.add_task("replay", total=len(ids) if ids else None)
        done = replay(
            database,
            inbox,
            ids=ids or None,
            reason_contains=reason_contains or "",
            crm=load(file) if file else None,
            on_progress=lambda count: bar.update(task, completed=count),
        )
    if as_json:
        print_json(done)
    else:
        console.print(f"{done.replayed:,} replayed", highlight=False)
        if done.gone:
            console.print(f"gone before, replayed or dropped: {_listed(done.gone)}", highlight=False)
        if done.empty:
            why = "cannot be replayed, their entries had no field of ours; `triagem dead drop` removes them"
            console.print(f"{why}: {_listed(done.empty)}", highlight=False)
        if done.unread:
            why = "webhooks that cannot be read, see `triagem dead show`, or whose source TRIAGEM_CRM_FILE lacks"
            console.print(f"{why}: {_listed(done.unread)}", highlight=False)
    if ids and (done.empty or done.unread):
        raise typer.Exit(1)


@dead.command()
def drop(
    ids: _Ids = None,
    *,
    every: _All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Delete dead letters for ever.

    Example: `triagem dead drop 12 13 --yes`
    """
    _check(ids, every)
    agreed(f"Delete {'all' if every else len(set(ids or ()))} dead letters for ever?", yes=yes)
    database = servers.database()
    from triagem.db.dead import pages, remove

    with database:
        dropped = sum(remove(database, [letter.id for letter in page]) for page in pages(database, ids=ids or None))
    if as_json:
        print_json({"dropped": dropped})
    else:
        console.print(f"{dropped:,} dropped", highlight=False)


def _check(ids: list[int] | None, every: bool) -> None:
    if bool(ids) == every:
        raise typer.BadParameter("name letters by their ids, or say --all")


def _listed(ids: list[int], most: int = 20) -> str:
    more = f" and {len(ids) - most:,} more" if len(ids) > most else ""
    return " ".join(map(str, ids[:most])) + more
