"""Migrates a database to this version's schema, and checks whether it is current."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from triagem.contracts.errors import NotMigrated
from triagem.db.catch_up import catch_up
from triagem.db.connect import Database, database_errors

_LOCK = 0x7472_6961  # any number, the same for all: two upgrades at once would race


def upgrade(database: Database) -> tuple[str | None, str]:
    """Run all missing migrations in one transaction; returns the revisions before and after.

    A second transaction catches up on rows written by processes of the previous release. A database that a newer
    version has migrated is left unchanged.
    """
    config = _config()
    with database_errors(), database.engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = MigrationContext.configure(connection).get_current_revision()
        if before is not None and before not in _revisions(config):
            return before, before
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    catch_up(database)
    return before, _head(config)


def require_current(database: Database) -> None:
    """Raise NotMigrated unless the database has this version's schema or a newer one (older workers keep running)."""
    config = _config()
    with database_errors(), database.engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None or (revision in _revisions(config) and revision != _head(config)):
        raise NotMigrated(
            f"the database is at revision {revision}, expected {_head(config)}: run `triagem db upgrade`"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _revisions(config: Config) -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def _head(config: Config) -> str:
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None
    return head
