"""`triagem audit`: lists the audit trail. Also adds the entry of a command's own action."""

import getpass
import socket
from typing import Annotated

import typer

from triagem import servers
from triagem.cli.options import FormatOption, JsonFlag, parse_time
from triagem.cli.output import Format, print_rows
from triagem.db import Database
from triagem.db.audit import Action, Actor, list_audit, record

_COLUMNS = ("at", "actor", "address", "action", "object", "outcome")


def record_action(database: Database, action: str, target: str, outcome: str = "done") -> None:
    """Add an entry of this command's user to the audit trail."""
    record(database, command_actor(), Action(action), target, outcome)


def command_actor() -> Actor:
    """This command's user, as an actor of the audit trail."""
    return Actor(f"{user_name()}@{socket.gethostname()} (command line)")


def user_name() -> str:
    """The login name of this command's user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user id may have no login name
        return "unnamed user"


def audit(
    *,
    actor: Annotated[str | None, typer.Option(help="Only actors whose name contains this text.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as `ticket.forget`.")] = None,
    since: Annotated[str | None, typer.Option(help="Only from this time, such as 2026-11-28.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of entries.")] = 50,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """List who did what, newest first: logins, deletions, changes of keys and labels, trainings, runs, promotions.

    Rows are only added: the database refuses to change them. TRIAGEM_RETAIN_AUDIT_DAYS sets how long they are kept.

    Example: `triagem audit --action ticket.forget`
    """
    start = parse_time(since, "--since")
    if action is not None and action not in {*Action}:
        raise typer.BadParameter(f"{action!r} is not an action: expected {', '.join(Action)}", param_hint="--action")
    with servers.database() as database:
        entries = list_audit(database, limit=limit, actor=actor, action=action, since=start)
    print_rows(entries, _COLUMNS, form, empty="no entries")
