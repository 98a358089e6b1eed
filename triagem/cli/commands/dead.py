"""`triagem dead`: lists, shows, replays and drops dead letters."""

from typing import Annotated

import typer

from triagem import servers
from triagem.cli.commands.audit import record_action
from triagem.cli.output import (
    Format,
    FormatOption,
    JsonFlag,
    as_mapping,
    confirm,
    console,
    errors,
    parse_time,
    print_json,
    print_rows,
    printable,
    progress,
)
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import Lane

_COLUMNS = ("id", "lane", "died_at", "attempts", "reason", "size")

dead = typer.Typer(no_args_is_help=True, help="Dead letters: messages that could not be read or classified.")

_Id = Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="Id of the dead letter.")]
_Ids = Annotated[list[int] | None, typer.Argument(min=1, max=2**63 - 1, help="Ids of dead letters.")]
_All = Annotated[bool, typer.Option("--all", help="All dead letters.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dead.command("list")
def list_letters(
    *,
    lane: Annotated[Lane | None, typer.Option(help="`live` or `bulk`.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Dead-lettered at or after: `2026-11-02`, or a date and time; UTC by default.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of dead letters.")] = 50,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """List dead letters, newest first, without their payloads; `size` is in bytes.

    Example: `triagem dead list --lane live --since 2026-11-01`
    """
    database = servers.database()
    from triagem.db.tickets.dead_letters import list_dead_letters

    with database:
        letters = list_dead_letters(database, lane=lane, since=parse_time(since, "--since"), limit=limit)
    print_rows([as_mapping(letter) for letter in letters], _COLUMNS, form)
    if form is Format.TABLE and not letters:
        errors.print("no dead letters", highlight=False)


@dead.command()
def show(letter_id: _Id, *, as_json: _Json = False) -> None:
    """Show one dead letter with its payload, which contains the customer's text.

    Example: `triagem dead show 12`
    """
    database = servers.database()
    from triagem.db.tickets.dead_letters import find_dead_letter

    with database:
        letter = find_dead_letter(database, letter_id)
    if letter is None:
        raise InvalidInput(f"no dead letter {letter_id}: it may have been replayed or dropped")
    try:
        payload = letter.payload.decode()
    except UnicodeDecodeError:
        payload = None
    if as_json:
        fields = as_mapping(letter) | {"payload": payload}
        print_json(fields if payload is not None else fields | {"payload_hex": letter.payload.hex()})
        return
    print_rows([as_mapping(letter)], ("id", "lane", "entry_id", "died_at", "attempts", "size"), Format.TABLE)
    console.print(f"\n{letter.reason}\n", markup=False, highlight=False)
    if payload is None:
        payload = f"(not UTF-8, shown in hexadecimal) {letter.payload.hex()}"
    console.print(printable(payload) or "(empty)", markup=False, highlight=False, soft_wrap=True)


@dead.command()
def replay(
    ids: _Ids = None,
    *,
    every: _All = False,
    reason_contains: Annotated[
        str | None, typer.Option(help="With --all: only dead letters whose reason contains this text.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Put dead letters back into their lanes. Replaying one twice is harmless.

    Example: `triagem dead replay --all --reason-contains "wire version"`
    """
    _check(ids, every)
    if reason_contains is not None and not every:
        raise typer.BadParameter("requires --all", param_hint="--reason-contains")
    inbox, database = servers.inbox(), servers.database()
    from triagem.ops.replay import replay
    from triagem.producer.crm import CrmFile

    with database, progress(errors) as bar:
        task = bar.add_task("replay", total=len(ids) if ids else None)
        result = replay(
            database,
            inbox,
            ids=ids or None,
            reason_contains=reason_contains or "",
            crm=CrmFile.from_environment().read(),
            on_progress=lambda count: bar.update(task, completed=count),
        )
        record_action(
            database,
            "dead-letter.replay",
            f"dead letters {_join(ids)}" if ids else "all dead letters",
            f"{result.replayed} replayed",
        )
    if as_json:
        print_json(result)
    else:
        console.print(f"{result.replayed:,} replayed", highlight=False)
        if result.not_found:
            console.print(f"not found, replayed or dropped before: {_join(result.not_found)}", highlight=False)
        if result.without_payload:
            console.print(
                "not replayed, the entry has no payload (remove it with `triagem dead drop`):"
                f" {_join(result.without_payload)}",
                highlight=False,
            )
        if result.unreadable:
            console.print(
                "not replayed, the webhook cannot be read or its source is not in TRIAGEM_CRM_FILE"
                f" (see `triagem dead show`): {_join(result.unreadable)}",
                highlight=False,
            )
    if ids and (result.without_payload or result.unreadable):
        raise typer.Exit(1)


@dead.command()
def drop(
    ids: _Ids = None,
    *,
    every: _All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: _Json = False,
) -> None:
    """Delete dead letters permanently.

    Example: `triagem dead drop 12 13 --yes`
    """
    _check(ids, every)
    confirm(f"Permanently delete {'all' if every else len(set(ids or ()))} dead letters?", yes=yes)
    database = servers.database()
    from triagem.db.tickets.dead_letters import dead_letter_pages, delete_dead_letters

    with database:
        dropped = sum(
            delete_dead_letters(database, [letter.id for letter in page])
            for page in dead_letter_pages(database, ids=ids or None)
        )
        record_action(
            database,
            "dead-letter.drop",
            f"dead letters {_join(ids)}" if ids else "all dead letters",
            f"{dropped} dropped",
        )
    if as_json:
        print_json({"dropped": dropped})
    else:
        console.print(f"{dropped:,} dropped", highlight=False)


def _check(ids: list[int] | None, every: bool) -> None:
    if bool(ids) == every:
        raise typer.BadParameter("give either ids or --all")


def _join(ids: list[int], limit: int = 20) -> str:
    more = f" and {len(ids) - limit:,} more" if len(ids) > limit else ""
    return " ".join(map(str, ids[:limit])) + more
