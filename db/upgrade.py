"""Migrates a database to this version's schema."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from triagem.db.connect import Database, database_errors, without_deadline
from triagem.db.revision import HEAD, refuse_unreleased

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
        if before is not None and before > HEAD:
            return before, before
        refuse_unreleased(before)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.execute(_STAMP_RESTORED_TICKETS)
    return before, HEAD


# Transaction ids of the server that the dump came from may be far above this server's.
_STAMP_RESTORED_TICKETS: Final = text("""
UPDATE tickets SET changed_xid = DEFAULT WHERE changed_xid >= pg_snapshot_xmax(pg_current_snapshot())
""")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
