"""`triagem db`: migrates, backs up and verifies the database, prints its URL, forgets a ticket, purges old texts."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from triagem import servers
from triagem.cli.commands.access import command_actor, record_action
from triagem.cli.options import ACTION_NEEDED, AsJson, ExternalId, Source, Yes, confirm
from triagem.cli.output import console, print_answer, rows_table
from triagem.cli.progress import progress
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import identify
from triagem.db import DatabaseSettings
from triagem.db.tickets.forgetting import find_ticket
from triagem.ops import backup
from triagem.ops import forget as forgetting
from triagem.ops import verify as verification
from triagem.ops.retention import RetentionSettings, delete_old_data
from triagem.producer.crm import CrmFile

db = typer.Typer(
    no_args_is_help=True, help="Database: migrate, back up, verify, print the URL, forget a ticket, purge old texts."
)


@db.command()
def upgrade(*, as_json: AsJson = False) -> None:
    """Create or migrate tables, views and the roles `triagem_reader` and `triagem_writer`.

    If TRIAGEM_WRITER_URL is set, the command also creates the login of that URL, a member of `triagem_writer`, unless
    it exists. Workers and all other commands use that login.

    Example: `triagem db upgrade`
    """
    from triagem.db.upgrade import upgrade

    with servers.database() as database:
        before, after = upgrade(database)
    outcome = "is up to date" if before == after else f"was migrated from {before or 'an empty schema'} to {after}"
    login = _ensure_writer_login(servers.database_url())
    answer = {"before": before, "after": after, "login": login}
    print_answer(answer, [f"the database {outcome}", *_login_lines(login)], as_json=as_json)


def _login_lines(login: str | None) -> list[str]:
    return [] if login is None else [f"the login {login} can read and write rows"]


def _ensure_writer_login(database_url: str) -> str | None:
    """Create the login of TRIAGEM_WRITER_URL, if that variable is set; returns its name."""
    from triagem.stack.postgres import ensure_writer_login

    writer_url = DatabaseSettings().writer_url
    if writer_url is None:
        return None
    try:
        url = make_url(writer_url.get_secret_value())
    except (ArgumentError, ValueError):  # the message may contain the password
        url = None
    if url is None or not url.username or not url.password:
        raise InvalidInput(
            "TRIAGEM_WRITER_URL is not a URL with user and password: expected postgresql://user:password@host/db"
        )
    ensure_writer_login(database_url, str(url.password), url.username)
    return url.username


@db.command()
def url(
    *,
    reader: Annotated[
        bool,
        typer.Option("--reader", help="For the login `analyst`, which reads only the SQL views. Local stack only."),
    ] = False,
    as_json: AsJson = False,
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
    print_answer({"url": database_url}, [database_url], as_json=as_json)


_Models = Annotated[bool, typer.Option("--models", help="Include the model registry's folder, in FILE.models.tgz.")]


@db.command()
def dump(
    file: Annotated[Path, typer.Argument(help="A new file, which only you can read.")],
    *,
    models: _Models = False,
    as_json: AsJson = False,
) -> None:
    """Back up all tables with the pg_dump of the server's version. Workers may keep running.

    Needs the URL of the database's owner. The backup excludes Redis, which holds only tickets that wait for a result.

    Example: `triagem db dump triagem.dump --models`
    """
    registry = servers.registry().root if models else None
    if registry:
        backup.check_models(registry, file, _models_file(file))
    with servers.database() as database, console.status("dump the database"):
        backup.dump(database, servers.database_url(), file)
    if registry:
        backup.dump_models(registry, _models_file(file))
    sizes = {str(path): path.stat().st_size for path in ([file, _models_file(file)] if registry else [file])}
    lines = [f"{path}: {size:,} bytes" for path, size in sizes.items()]
    print_answer([{"file": path, "bytes": size} for path, size in sizes.items()], lines, as_json=as_json)


@db.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file of `triagem db dump` or pg_dump -Fc.")],
    *,
    models: _Models = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into a database without tickets, such as `triagem up --workers 0` creates in a new folder.

    Tickets that were forgotten after the dump come back: docs/how-to/runbook.md#backup-and-restore.

    Example: `triagem db restore triagem.dump --models`
    """
    if not file.is_file():
        raise InvalidInput(f"{file}: no such file")
    url = servers.database_url()
    if models:
        backup.restore_models(servers.registry().root, _models_file(file))
    with servers.database() as database, console.status("restore the database"):
        backup.restore(database, url, file)
    login = _ensure_writer_login(url)
    models_line = [f"{_models_file(file)} was restored to {servers.registry().root}"] if models else []
    lines = [f"{file} was restored", *models_line, *_login_lines(login)]
    print_answer({"restored": str(file), "login": login}, lines, as_json=as_json)


def _models_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.models.tgz")


@db.command()
def verify(*, as_json: AsJson = False) -> None:
    """Check that tables and inbox are consistent. Changes nothing, and is safe while workers run.

    Reads all rows in one snapshot. If entries of a dead worker are pending, the command waits one lease's time for
    another worker to reclaim them. The exit status is 3 if anything was found.

    Example: `triagem db verify`
    """
    checks, findings = [], []
    inbox = servers.inbox()
    with servers.database() as database, progress("verify") as update:
        for check, finding in verification.verify(database, inbox):
            update(description=check)
            checks.append(check)
            findings += [finding] if finding else []
    lines = [] if findings else [f"nothing found ({len(checks)} checks)"]
    for finding in findings:
        more = ", …" if finding.count > len(finding.examples) else ""
        lines.append(f"{finding.check}: {finding.problem}")
        lines.append(f"  {finding.count:,}: {', '.join(finding.examples)}{more}")
    print_answer({"checks": checks, "findings": findings}, lines, as_json=as_json)
    if findings:
        raise typer.Exit(ACTION_NEEDED)


@db.command()
def forget(
    source: Source,
    external_id: ExternalId,
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete one ticket everywhere, and prevent it from being stored again.

    docs/how-to/privacy.md lists what is deleted.

    Example: `triagem db forget zendesk 4711 --yes`
    """
    identity = identify(source, external_id)
    inbox, crm = servers.inbox(), CrmFile.from_environment().read()
    with servers.database() as database:
        stored = find_ticket(database, identity)
        question = (
            "not stored. Permanently delete its entries in the inbox?"
            if stored is None
            else f"forgotten at {stored.forgotten_at:%Y-%m-%d %H:%M} UTC. Search again and delete what is left?"
            if stored.forgotten_at
            else f"received {stored.received_at:%Y-%m-%d}. Permanently delete it?"
        )
        confirm(f"Ticket {identity.external_id!r} of {identity.source!r}: {question}", yes=yes)
        with progress("search the inbox") as update:
            deleted = forgetting.forget(
                database, inbox, identity, crm=crm, on_progress=lambda count: update(advance=count)
            )
        record_action(database, "ticket.forget", "/".join(identity))
    answer = {"source": identity.source, "external_id": identity.external_id, "forgotten": deleted}
    print_answer(answer, _describe(deleted, was_stored=stored is not None), as_json=as_json)


@db.command()
def retain(
    *,
    days: Annotated[
        int | None,
        typer.Option(
            min=1, max=36_500, help="Days to keep texts and dead letters; default: TRIAGEM_RETAIN_TEXTS_DAYS."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; delete nothing.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete old data, as `triagem ops` does daily: texts, dead letters, run changes, deliveries, alerts, samples.

    TRIAGEM_RETAIN_* sets the number of days for each kind. Current results, predictions and reviews stay. Texts and
    their metadata are purged only with `--days` or TRIAGEM_RETAIN_TEXTS_DAYS, and only if the ticket was received and
    last revised more than this number of days ago.

    Example: `triagem db retain --days 90 --yes`
    """
    settings = RetentionSettings()
    limits = (settings if days is None else settings.model_copy(update={"texts_days": days})).days()
    if not dry_run:
        list_of_limits = ", ".join(f"{kind} after {limit} days" for kind, limit in limits.items())
        confirm(f"Permanently delete old data: {list_of_limits}?", yes=yes)
    deleted = dict.fromkeys(limits, 0)
    with servers.database() as database, progress("delete old data") as update:
        for kind, rows in delete_old_data(
            database, limits, now=datetime.now(UTC), actor=command_actor(), dry_run=dry_run
        ):
            deleted[kind] += rows
            update(advance=rows)
    column = "to delete" if dry_run else "deleted"
    rows_of_kind = [{"data": kind, "days": limits[kind], column: f"{rows:,}"} for kind, rows in deleted.items()]
    table = rows_table(rows_of_kind, ("data", "days", column))
    lines: list[RenderableType] = [table]
    if "texts" not in limits:
        lines.append("texts and dead letters stay for ever; set a limit with --days or TRIAGEM_RETAIN_TEXTS_DAYS")
    answer = {"days": limits, column.replace(" ", "_"): deleted, "dry_run": dry_run}
    print_answer(answer, lines, as_json=as_json)


def _describe(deleted: forgetting.DeletedData, *, was_stored: bool) -> Iterator[str]:
    if not (was_stored or deleted.dead_letters or deleted.inbox_entries):
        yield "no such ticket was found: check source and id; from now on, none of this name is stored"
    else:
        yield "forgotten" if deleted.tombstone else "was already forgotten; searched again"
    for table, count in deleted.rows.items():
        yield f"  {table}: {count:,}"
    yield f"  dead letters: {deleted.dead_letters:,}{_unidentified(deleted.unreadable_dead_letters)}"
    yield f"  inbox: {deleted.inbox_entries:,}{_unidentified(deleted.unreadable_entries)}"
    yield f"  Redis append-only file: rewrite {deleted.log_rewrite}"
    if deleted.inbox_entries_left:
        yield (
            f"entries of other tickets that wait: {deleted.inbox_entries_left:,}. Redis keeps the deleted bytes"
            " until neighbouring entries are classified: run this command again then (docs/how-to/privacy.md)"
        )


def _unidentified(count: int) -> str:
    return f" ({count:,} more do not identify their ticket and were not searched)" if count else ""
