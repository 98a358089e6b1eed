"""`triagem db`: migrations; one customer's ticket deleted everywhere; old texts purged."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from triagem.cli import servers
from triagem.cli.output import agreed, console, errors, print_json, progress
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import identify

if TYPE_CHECKING:
    from triagem.gateway.forget import Forgotten

db = typer.Typer(no_args_is_help=True, help="The database: upgrade; forget a ticket; purge old texts.")

_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(db, name="db")


@db.command()
def upgrade() -> None:
    """Create or bring up to date tables, views and the roles `triagem_reader` and `triagem_writer`.

    With TRIAGEM_WRITER_URL, also the login of that URL, a member of `triagem_writer`, if it is missing: the one that
    workers and all other commands use.

    Example: `triagem db upgrade`
    """
    database = servers.database()
    from triagem.db.upgrade import upgrade

    with database:
        before, after = upgrade(database)
    done = "is up to date" if before == after else f"went from {before or 'nothing'} to {after}"
    console.print(f"the database {done}", highlight=False)
    if writer_url := os.environ.get("TRIAGEM_WRITER_URL"):
        _let_in(servers.database_url(), writer_url)


def _let_in(database_url: str, writer_url: str) -> None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from triagem.cli.stack.logins import ensure_writer_login

    try:
        url = make_url(writer_url)
    except (ArgumentError, ValueError):  # its message may hold the password
        url = None
    if url is None or not url.username or not url.password:
        raise InvalidInput("TRIAGEM_WRITER_URL is no URL with user and password: postgresql://user:password@host/db")
    ensure_writer_login(database_url, str(url.password), url.username)
    console.print(f"the login {url.username} may read and write rows", highlight=False, markup=False)


@db.command()
def forget(
    source: Annotated[str, typer.Argument(help="The CRM's name.")],
    external_id: Annotated[str, typer.Argument(help="The ticket's id in that CRM.")],
    *,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Delete one customer's ticket everywhere, and keep it from coming back. docs/privacy.md says what it reaches.

    Example: `triagem db forget zendesk 4711 --yes`
    """
    whose = identify(source, external_id)
    inbox, database = servers.inbox(), servers.database()
    from triagem.db.forget import find
    from triagem.gateway.forget import forget

    with database:
        stored = find(database, whose)
        known = (
            "no such ticket is stored; delete what waits of it"
            if stored is None
            else f"it was forgotten at {stored.forgotten_at:%Y-%m-%d %H:%M}; look again for what is left of it"
            if stored.forgotten_at
            else f"received {stored.received_at:%Y-%m-%d}; delete it"
        )
        agreed(f"Ticket {whose.external_id!r} of {whose.source!r}: {known} for ever?", yes=yes)
        with progress(errors) as bar:
            task = bar.add_task("search the inbox", total=None)
            done = forget(database, inbox, whose, on_page=lambda count: bar.advance(task, count))
    if as_json:
        print_json({"source": whose.source, "external_id": whose.external_id, "forgotten": done})
    else:
        _print(done)


@db.command()
def retain(
    *,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="Keep what is at most this old.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Purge texts and metadata of old tickets, and old dead letters; labels, counts and history stay.

    Old is a ticket that was received and last revised more than so many days ago.

    Example: `triagem db retain --days 90 --yes`
    """
    if not dry_run:
        agreed(f"Purge all texts and dead letters of more than {days} days ago for ever?", yes=yes)
    database = servers.database()
    from triagem.db.retain import drop_letters, purge_texts

    before = datetime.now(UTC) - timedelta(days=days)
    texts = letters = 0
    with database, progress(errors) as bar:
        task = bar.add_task("tickets looked at", total=None)
        for seen, purged in purge_texts(database, before=before, dry_run=dry_run):
            texts += purged
            bar.advance(task, seen)
        task = bar.add_task("dead letters", total=None)
        for dropped in drop_letters(database, before=before, dry_run=dry_run):
            letters += dropped
            bar.advance(task, dropped)
    if as_json:
        print_json({"before": before, "texts": texts, "dead_letters": letters, "dry_run": dry_run})
    else:
        done = "would be purged" if dry_run else "purged"
        console.print(f"{texts:,} texts and {letters:,} dead letters {done}", highlight=False)


def _print(done: Forgotten) -> None:
    console.print("forgotten" if done.tombstone else "was forgotten before; looked again", highlight=False)
    for table, count in done.rows.items():
        console.print(f"  {table}: {count:,}", highlight=False)
    console.print(f"  dead letters: {done.dead_letters:,}{_unread(done.unreadable_letters)}", highlight=False)
    console.print(f"  inbox: {done.inbox_entries:,}{_unread(done.unreadable_entries)}", highlight=False)
    console.print(f"  Redis' log: rewrite {done.log_rewrite}", highlight=False)
    if done.inbox_left:
        console.print(
            f"{done.inbox_left:,} entries of others wait. Redis keeps deleted bytes until those beside them are"
            " classified: run this once more then (docs/privacy.md)",
            highlight=False,
        )


def _unread(count: int) -> str:
    return f" ({count:,} more do not say whose they are and were not searched)" if count else ""
