"""Checks which revision of the schema a database has, without Alembic, whose import costs each process 0.1 s."""

from typing import Final

from triagem.contracts.errors import NotMigrated
from triagem.db.connect import Database

OLDEST: Final = "0014"  # the first file in `migrations/versions`: revisions before it were never released
HEAD: Final = "0014"  # the newest file there


def require_current(database: Database) -> None:
    """Raise NotMigrated unless the database has this version's schema or a newer one (older workers keep running)."""
    revision = database.scalar_one("SELECT max(version_num) FROM alembic_version")
    refuse_unreleased(revision)
    if revision is None or revision < HEAD:
        raise NotMigrated(f"the database is at revision {revision}, expected {HEAD}: run `triagem db upgrade`")


def refuse_unreleased(revision: str | None) -> None:
    """Raise NotMigrated if an unreleased version created the tables."""
    if revision is not None and revision < OLDEST:
        raise NotMigrated(
            f"an unreleased version created these tables (revision {revision}): create an empty database (or delete"
            " the folder of a local stack, `.triagem`), and run `triagem db upgrade`"
        )
