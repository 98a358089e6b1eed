"""Bring a database to this version's tables, and say whether it is there."""

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
    """Run all missing migrations in one transaction and return the revisions before and after.

    Then, in another one, catch up on what processes of a former release have left undone. A database that a newer
    version has migrated is left as it is.
    """
    config = _config()
    with database_errors(), database.engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = MigrationContext.configure(connection).get_current_revision()
        if before is not None and before not in _known(config):
            return before, before
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    catch_up(database)
    return before, _head(config)


def require_current(database: Database) -> None:
    """Raises NotMigrated unless the database has this version's tables (or newer ones: older workers go on)."""
    config = _config()
    with database_errors(), database.engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found is None or (found in _known(config) and found != _head(config)):
        raise NotMigrated(f"the database is at revision {found}, expected {_head(config)}: run `triagem db upgrade`")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _known(config: Config) -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def _head(config: Config) -> str:
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None
    return head
