"""Migrates a database to this version's schema, catches up on rows of older processes, and checks the revision."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import delete, text

from triagem.contracts.errors import NotMigrated
from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.connect import Database, database_errors
from triagem.db.schema import TICKET_TABLES, tickets

_LOCK: Final = 0x7472_6961  # any number, the same for all: two upgrades at once would race


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
    _catch_up(database)
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


_DELETE_PURGED_LEXEMES: Final = text("""
DELETE FROM ticket_lexemes USING tickets t WHERE ticket_id = t.id AND t.text IS NULL
""")
_QUEUE_FOR_SEARCH: Final = text("""
INSERT INTO search_queue (ticket_id) SELECT id FROM tickets t
WHERE t.text IS NOT NULL AND t.source <> :predict
  AND NOT EXISTS (SELECT FROM ticket_lexemes l WHERE (l.ticket_id, l.digest) = (t.id, t.digest))
  AND NOT EXISTS (SELECT FROM search_queue q WHERE q.ticket_id = t.id)
""")


def _catch_up(database: Database) -> None:
    """Delete rows of tickets that processes of the previous release forgot or purged; queue for indexing what they
    stored. Reads all tickets: for upgrades, not for daily use.
    """
    with database_errors(), database.engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for table in TICKET_TABLES:
            connection.execute(
                delete(table).where(table.c.ticket_id == tickets.c.id, tickets.c.forgotten_at.is_not(None))
            )
        connection.execute(_DELETE_PURGED_LEXEMES)
        connection.execute(_QUEUE_FOR_SEARCH, {"predict": PREDICT_SOURCE})


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
