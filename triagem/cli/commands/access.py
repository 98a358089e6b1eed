"""`triagem keys` creates, lists and revokes API keys; `triagem audit` lists the audit trail, also of commands."""

import getpass
import socket
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode

import typer

from triagem import servers
from triagem.cli.options import AsJson, FormatOption, JsonFlag, time_option
from triagem.cli.output import (
    Format,
    as_mapping,
    errors,
    print_answer,
    print_json,
    print_lines,
    print_rows,
)
from triagem.contracts.errors import InvalidInput, TriagemError
from triagem.db import Database
from triagem.db.audit import Action, Actor, AuditEntry, list_audit, record
from triagem.db.auth import Scope, begin_session, create_key, list_keys, revoke_key

_OWNER: Final = "owner"
_AUDIT_COLUMNS = ("at", "actor", "address", "action", "object", "outcome")


def record_action(database: Database, action: Action, target: str, outcome: str = "done") -> None:
    """Add an entry of this command's user to the audit trail."""
    record(database, command_actor(), action, target, outcome)


def record_or_note(action: Action, target: str) -> None:
    """Add the action to the audit trail. An outage must not prevent a rollback: then print what is missing."""
    try:
        with servers.database() as database:
            record_action(database, action, target)
    except TriagemError as error:
        print_lines(f"not in the audit trail, only in promotions.jsonl: {error}", screen=errors)


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
    action: Annotated[
        Action | None, typer.Option(metavar="ACTION", help="Only this action, such as `ticket.forget`.")
    ] = None,
    since: Annotated[datetime | None, time_option("--since", "At or after")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of entries.")] = 50,
    form: FormatOption = Format.TABLE,
    _json: JsonFlag = False,
) -> None:
    """List who did what, newest first: logins, deletions, changes of keys and labels, trainings, runs, promotions.

    Rows are only added: the database refuses to change them. TRIAGEM_RETAIN_AUDIT_DAYS sets how long they are kept.

    Example: `triagem audit --action ticket.forget`
    """
    with servers.database() as database:
        entries = list_audit(database, limit=limit, actor=actor, action=action, since=since)
    print_rows(entries, _AUDIT_COLUMNS, form, empty="no entries", types=[AuditEntry])


keys = typer.Typer(no_args_is_help=True, help="API keys of the gateway.")

_COLUMNS = ("id", "name", "scopes", "source", "created_at", "last_used_at", "expires_at", "revoked_at")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Name that identifies the key's user in `triagem keys list`.")],
    *,
    scope: Annotated[
        list[Scope],
        typer.Option(
            help="Permission; repeat the option for several: `enqueue` submits tickets, `read` reads results, "
            "`review` submits reviews, `admin` allows everything, including forgetting tickets."
        ),
    ],
    source: Annotated[
        str | None, typer.Option(help="Allow tickets of this CRM only. Requires --scope enqueue and no other scope.")
    ] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, max=3650, help="Days until the key expires.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key, and print its secret to standard output. It cannot be shown again: only its hash is stored.

    Example: `KEY=$(triagem keys create shop --scope enqueue --scope read)`
    """
    if not name.strip() or not name.isprintable() or len(name) > 100:
        raise typer.BadParameter("expected 1 to 100 printable characters", param_hint="NAME")
    if source is not None and set(scope) != {Scope.ENQUEUE}:
        raise typer.BadParameter("requires --scope enqueue and no other scope", param_hint="--source")
    now = datetime.now(UTC)
    with servers.database() as database:
        if any(key.name == name and key.is_active(now) for key in list_keys(database)):
            raise InvalidInput(f"an active key is already named {name!r}: choose another name, or revoke that key")
        expires_at = None if expires_days is None else now + timedelta(days=expires_days)
        key, secret = create_key(database, name, scope, source=source, expires_at=expires_at)
        record_action(database, "key.create", f"key {key.id} ({key.name})")
    if as_json:
        print_json(as_mapping(key) | {"scopes": sorted(key.scopes), "secret": secret})
        return
    typer.echo(secret)
    rights = ", ".join(sorted(key.scopes)) + (f", only for source {key.source}" if key.source else "")
    note = f"key {key.id} ({key.name}): {rights}. Save the secret: it is not shown again."
    print_lines(note, screen=errors)


@keys.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List all keys, including revoked ones, without their secrets.

    Example: `triagem keys list`
    """
    with servers.database() as database:
        rows = [as_mapping(key) | {"scopes": sorted(key.scopes)} for key in list_keys(database)]
    shown = [row | {"scopes": ", ".join(row["scopes"])} for row in rows]
    if as_json:
        print_json(rows)
    else:
        print_rows(shown, _COLUMNS, empty="no keys: create one with `triagem keys create NAME --scope enqueue`")


@keys.command()
def revoke(
    key_id: Annotated[int, typer.Argument(min=1, max=2**63 - 1, metavar="ID", help="Id from `triagem keys list`.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Revoke a key. Running gateways reject it within TRIAGEM_GATEWAY_KEY_CACHE_S, 10 seconds by default.

    Example: `triagem keys revoke 3`
    """
    with servers.database() as database:
        revoked = revoke_key(database, key_id)
        record_action(database, "key.revoke", f"key {key_id}", "done" if revoked else "not found")
    if not revoked:
        raise InvalidInput(f"no active key {key_id}: see `triagem keys list`")
    print_answer({"revoked": key_id}, [f"key {key_id} is revoked"], as_json=as_json)


def login_link(database: Database, address: str) -> str:
    """A link to the start page that logs in once, with all permissions, as the key `owner`."""
    now = datetime.now(UTC)
    owner = next((key for key in list_keys(database) if key.name == _OWNER and key.is_active(now)), None)
    if owner is None:
        owner, _ = create_key(database, _OWNER, [Scope.ADMIN])  # only login links use it: drop its secret
        record_action(database, "key.create", f"key {owner.id} ({owner.name})")
    return f"{address}/console/enter?{urlencode({'link': begin_session(database, owner)})}"
