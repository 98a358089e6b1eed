"""`triagem dead`: lists, shows, replays and drops dead letters."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer

from triagem import servers
from triagem.cli.commands.access import record_action
from triagem.cli.options import (
    AsJson,
    FormatOption,
    Ids,
    JsonFlag,
    Yes,
    confirm,
    require_selection,
    time_option,
)
from triagem.cli.output import Format, as_mapping, print_answer, print_rows, rows_table
from triagem.cli.progress import progress
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import Lane
from triagem.db.tickets.dead_letters import (
    DeadLetter,
    dead_letter_pages,
    delete_dead_letters,
    find_dead_letter,
    list_dead_letters,
)
from triagem.ops import replay as replaying
from triagem.producer.crm import CrmFile, CrmSettings

_NO_CRM_FILE = "not replayed, TRIAGEM_CRM_FILE is not set here: set it to the gateway's file"
_COLUMNS = ("id", "lane", "died_at", "attempts", "reason", "size")

dead = typer.Typer(no_args_is_help=True, help="Dead letters: messages that could not be read or classified.")

_Id = Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="Id of the dead letter.")]
_All = Annotated[bool, typer.Option("--all", help="All dead letters.")]


@dead.command("list")
def list_letters(
    *,
    lane: Annotated[Lane | None, typer.Option(help="`live` or `bulk`.")] = None,
    since: Annotated[datetime | None, time_option("--since", "Dead-lettered at or after")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of dead letters.")] = 50,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """List dead letters, newest first, without their payloads; `size` is in bytes.

    Example: `triagem dead list --lane live --since 2026-11-01`
    """
    with servers.database() as database:
        letters = list_dead_letters(database, lane=lane, since=since, limit=limit)
    print_rows(letters, _COLUMNS, form, empty="no dead letters", types=[DeadLetter])


@dead.command()
def show(letter_id: _Id, *, as_json: AsJson = False) -> None:
    """Show one dead letter with its payload, which contains the customer's text.

    Example: `triagem dead show 12`
    """
    with servers.database() as database:
        letter = find_dead_letter(database, letter_id)
    if letter is None:
        raise InvalidInput(f"no dead letter {letter_id}: it may have been replayed or dropped")
    try:
        payload = letter.payload.decode()
    except UnicodeDecodeError:
        payload = None
    binary = {"payload_hex": letter.payload.hex()} if payload is None else {}
    table = rows_table([letter], ("id", "lane", "entry_id", "died_at", "attempts", "size"))
    shown = f"(not UTF-8, shown in hexadecimal) {letter.payload.hex()}" if payload is None else payload or "(empty)"
    answer = as_mapping(letter) | {"payload": payload} | binary
    print_answer(answer, [table, f"\n{letter.reason}\n", shown], as_json=as_json)


@dead.command()
def replay(
    ids: Ids = None,
    *,
    every: _All = False,
    as_json: AsJson = False,
) -> None:
    """Put dead letters back into their lanes. Replaying one twice is harmless. Exit status 1 if one stays.

    Example: `triagem dead replay --all`
    """
    require_selection(ids, every)
    inbox, crm_file = servers.inbox(), CrmSettings().crm_file
    crm = CrmFile(crm_file).read()
    with servers.database() as database, progress("replay", len(ids) if ids else None) as update:
        result = replaying.replay(
            database,
            inbox,
            ids=ids or None,
            crm=crm,
            on_progress=lambda count: update(completed=count),
        )
        record_action(database, "dead-letter.replay", _selection(ids), f"{result.replayed} replayed")
    skipped = {
        "not found, replayed or dropped before": result.not_found,
        "not replayed, the entry has no payload (remove it with `triagem dead drop`)": result.without_payload,
        _NO_CRM_FILE: [] if crm_file else result.unreadable,
        "not replayed, a task's arguments are not a valid ticket (see `triagem dead show`): submit it again, then "
        "drop it": result.invalid,
    }
    lines = [f"{reason}: {_join(letters)}" for reason, letters in skipped.items() if letters]
    if crm_file:
        lines += [f"not replayed, {reason}: {_join(letters)}" for reason, letters in _by_reason(result.reasons)]
    print_answer(result, [f"{result.replayed:,} replayed", *lines], as_json=as_json)
    if result.without_payload or result.unreadable or result.invalid:
        raise typer.Exit(1)


@dead.command()
def drop(
    ids: Ids = None,
    *,
    every: _All = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters permanently.

    Example: `triagem dead drop 12 13 --yes`
    """
    require_selection(ids, every)
    number = len(set(ids or ()))
    selected = "all dead letters" if every else "1 dead letter" if number == 1 else f"{number:,} dead letters"
    with servers.database() as database:
        if ids and all(find_dead_letter(database, letter_id) is None for letter_id in ids):
            raise InvalidInput(f"no dead letter {_join(ids)}: it may have been replayed or dropped")
        confirm(f"Permanently delete {selected}?", yes=yes)
        dropped = sum(
            delete_dead_letters(database, [letter.id for letter in page])
            for page in dead_letter_pages(database, ids=ids or None)
        )
        record_action(database, "dead-letter.drop", _selection(ids), f"{dropped} dropped")
    lines = [f"{dropped:,} dropped"]
    if dropped < number:
        lines.append(f"not found, replayed or dropped before: {number - dropped:,}")
    print_answer({"dropped": dropped}, lines, as_json=as_json)


def _by_reason(reasons: dict[int, str]) -> Iterator[tuple[str, list[int]]]:
    for reason in dict.fromkeys(reasons.values()):
        yield reason, [letter_id for letter_id, why in reasons.items() if why == reason]


def _selection(ids: list[int] | None) -> str:
    return f"dead letters {_join(ids)}" if ids else "all dead letters"


def _join(ids: list[int], limit: int = 20) -> str:
    more = f" and {len(ids) - limit:,} more" if len(ids) > limit else ""
    return " ".join(map(str, ids[:limit])) + more
