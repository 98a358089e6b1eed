"""Migrates a database to this version's schema, and checks its revision."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from triagem.contracts.errors import NotMigrated
from triagem.db.connect import Database, database_errors, without_deadline

LOCK: Final = 0x7472_6961  # arbitrary, but the same in every process, because two upgrades at once would race


def upgrade(database: Database) -> tuple[str | None, str]:
    """Run all missing migrations in one transaction; returns the revisions before and after.

    A database that a newer version has migrated is left unchanged.

    Raises:
        NotMigrated: an unreleased version created the database, and no migration starts from that version.
    """
    config = _config()
    with database_errors(), database.engine.connect() as connection, connection.begin(), without_deadline(connection):
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        before = MigrationContext.configure(connection).get_current_revision()
        if before is not None and before > _head(config):
            return before, before
        _refuse_unreleased(config, before)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.execute(_STAMP_RESTORED_TICKETS)
    return before, _head(config)


# Transaction ids of the server that the dump came from may be far above this server's.
_STAMP_RESTORED_TICKETS: Final = text("""
UPDATE tickets SET changed_xid = DEFAULT WHERE changed_xid >= pg_snapshot_xmax(pg_current_snapshot())
""")


def require_current(database: Database) -> None:
    """Raise NotMigrated unless the database has this version's schema or a newer one (older workers keep running)."""
    config = _config()
    with database_errors(), database.engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    _refuse_unreleased(config, revision)
    if revision is None or revision < _head(config):
        raise NotMigrated(
            f"the database is at revision {revision}, expected {_head(config)}: run `triagem db upgrade`"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _refuse_unreleased(config: Config, revision: str | None) -> None:
    oldest = ScriptDirectory.from_config(config).get_base()
    if revision is not None and oldest is not None and revision < oldest:
        raise NotMigrated(
            f"an unreleased version created these tables (revision {revision}): create an empty database (or delete"
            " the folder of a local stack, `.triagem`), and run `triagem db upgrade`"
        )


def _head(config: Config) -> str:
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None
    return head
