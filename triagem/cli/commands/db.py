"""`triagem db`: migrates and verifies the database, prints its URL, forgets a ticket, and purges old texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from triagem import servers
from triagem.cli.output import confirm, console, errors, print_json, printable, progress
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import identify

if TYPE_CHECKING:
    from triagem.ops.forget import DeletedData

db = typer.Typer(
    no_args_is_help=True, help="Database: migrate, verify, print the URL, forget a ticket, purge old texts."
)

_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@db.command()
def upgrade() -> None:
    """Create or migrate tables, views and the roles `triagem_reader` and `triagem_writer`.

    If TRIAGEM_WRITER_URL is set, it also creates the login of that URL, a member of `triagem_writer`, if missing.
    Workers and all other commands use that login.

    Example: `triagem db upgrade`
    """
    database = servers.database()
    from triagem.db import DatabaseSettings
    from triagem.db.upgrade import upgrade

    with database:
        before, after = upgrade(database)
    outcome = "is up to date" if before == after else f"was migrated from {before or 'an empty schema'} to {after}"
    console.print(f"the database {outcome}", highlight=False)
    if writer_url := DatabaseSettings().writer_url:
        _ensure_writer_login(servers.database_url(), writer_url.get_secret_value())


def _ensure_writer_login(database_url: str, writer_url: str) -> None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from triagem.stack.postgres import ensure_writer_login

    try:
        url = make_url(writer_url)
    except (ArgumentError, ValueError):  # the message may contain the password
        url = None
    if url is None or not url.username or not url.password:
        raise InvalidInput(
            "TRIAGEM_WRITER_URL is not a URL with user and password: expected postgresql://user:password@host/db"
        )
    ensure_writer_login(database_url, str(url.password), url.username)
    console.print(f"the login {url.username} can read and write rows", highlight=False, markup=False)


@db.command()
def url(
    *,
    reader: Annotated[
        bool,
        typer.Option("--reader", help="For the login `analyst`, which reads only the SQL views. Local stack only."),
    ] = False,
) -> None:
    """Print the database's URL, for psql and other tools. It contains a password.

    Example: `psql "$(triagem db url --reader)"`
    """
    database_url = servers.database_url()
    if reader:
        stack = servers.local_stack()
        if stack is None or stack.database_url != database_url:
            raise InvalidInput(
                "TRIAGEM_DATABASE_URL is set, and the readers' passwords are known for the local stack only: "
                "use a login in the role triagem_reader"
            )
        database_url = stack.reader_url
    typer.echo(database_url)


@db.command()
def verify(*, as_json: _Json = False) -> None:
    """Check that tables and inbox are consistent. Changes nothing, and is safe while workers run.

    Reads all rows in one snapshot. If entries of a dead worker are pending, it waits for one lease whether another
    worker reclaims them. Exit status 3 if anything was found.

    Example: `triagem db verify`
    """
    inbox, database = servers.inbox(), servers.database()
    from triagem.ops.verify import verify

    checks, findings = [], []
    with database, progress(errors) as bar:
        task = bar.add_task("verify", total=None)
        for check, finding in verify(database, inbox):
            bar.update(task, description=check)
            checks.append(check)
            if finding:
                findings.append(finding)
    if as_json:
        print_json({"checks": checks, "findings": findings})
    for finding in () if as_json else findings:
        console.print(f"{finding.check}: {finding.problem}", highlight=False, markup=False)
        listed = ", ".join(finding.examples) + (", …" if finding.count > len(finding.examples) else "")
        console.print(f"  {finding.count:,}: {printable(listed)}", highlight=False, markup=False)
    if findings:
        raise typer.Exit(3)
    if not as_json:
        console.print(f"nothing found ({len(checks)} checks)", highlight=False)


@db.command()
def forget(
    source: Annotated[str, typer.Argument(help="Name of the CRM.")],
    external_id: Annotated[str, typer.Argument(help="Id of the ticket in that CRM.")],
    *,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Delete one ticket everywhere, and prevent it from being stored again.

    docs/how-to/privacy.md lists what is deleted.

    Example: `triagem db forget zendesk 4711 --yes`
    """
    identity = identify(source, external_id)
    inbox, database = servers.inbox(), servers.database()
    from triagem.db.tickets.forgetting import find_ticket
    from triagem.ops.forget import forget

    with database:
        stored = find_ticket(database, identity)
        question = (
            "not stored. Permanently delete its entries in the inbox?"
            if stored is None
            else f"forgotten at {stored.forgotten_at:%Y-%m-%d %H:%M}. Search again and delete what is left?"
            if stored.forgotten_at
            else f"received {stored.received_at:%Y-%m-%d}. Permanently delete it?"
        )
        confirm(f"Ticket {identity.external_id!r} of {identity.source!r}: {question}", yes=yes)
        with progress(errors) as bar:
            task = bar.add_task("search the inbox", total=None)
            deleted = forget(database, inbox, identity, on_progress=lambda count: bar.advance(task, count))
    if as_json:
        print_json({"source": identity.source, "external_id": identity.external_id, "forgotten": deleted})
    else:
        _print(deleted)


@db.command()
def retain(
    *,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="Keep data that is at most this many days old.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; delete nothing.")] = False,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Purge texts and metadata of old tickets, and old dead letters. Labels, counts and history stay.

    A ticket is old if it was received and last revised more than `--days` days ago.

    Example: `triagem db retain --days 90 --yes`
    """
    if not dry_run:
        confirm(f"Permanently purge all texts and dead letters older than {days} days?", yes=yes)
    database = servers.database()
    from triagem.db.tickets.retention import delete_old_dead_letters, purge_texts

    before = datetime.now(UTC) - timedelta(days=days)
    texts = letters = 0
    with database, progress(errors) as bar:
        task = bar.add_task("scan tickets", total=None)
        for scanned, purged in purge_texts(database, before=before, dry_run=dry_run):
            texts += purged
            bar.advance(task, scanned)
        task = bar.add_task("dead letters", total=None)
        for deleted in delete_old_dead_letters(database, before=before, dry_run=dry_run):
            letters += deleted
            bar.advance(task, deleted)
    if as_json:
        print_json({"before": before, "texts": texts, "dead_letters": letters, "dry_run": dry_run})
    else:
        outcome = "would be purged" if dry_run else "purged"
        console.print(f"{texts:,} texts and {letters:,} dead letters {outcome}", highlight=False)


def _print(deleted: DeletedData) -> None:
    console.print("forgotten" if deleted.tombstone else "was already forgotten; searched again", highlight=False)
    for table, count in deleted.rows.items():
        console.print(f"  {table}: {count:,}", highlight=False)
    letters = f"{deleted.dead_letters:,}{_unidentified(deleted.unreadable_dead_letters)}"
    console.print(f"  dead letters: {letters}", highlight=False)
    console.print(f"  inbox: {deleted.inbox_entries:,}{_unidentified(deleted.unreadable_entries)}", highlight=False)
    console.print(f"  Redis append-only file: rewrite {deleted.log_rewrite}", highlight=False)
    if deleted.inbox_entries_left:
        console.print(
            f"{deleted.inbox_entries_left:,} entries of other tickets are waiting. Redis keeps the deleted bytes"
            " until neighbouring entries are classified: run this command again then (docs/how-to/privacy.md)",
            highlight=False,
        )


def _unidentified(count: int) -> str:
    return f" ({count:,} more do not identify their ticket and were not searched)" if count else ""
