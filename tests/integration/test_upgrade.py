"""Migrations on a separate database: from empty, repeated, concurrent, and by another version."""

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from alembic import op
from alembic.script import ScriptDirectory
from sqlalchemy import create_mock_engine, text

from tests.support.builders import classified
from tests.support.waiting import until
from triagem.contracts.errors import NotMigrated, StatementRefused
from triagem.db import Database
from triagem.db.revision import HEAD, OLDEST, require_current
from triagem.db.schema import metadata
from triagem.db.tickets.window import write_window
from triagem.db.upgrade import _config, upgrade
from triagem.stack import Endpoints

VIEWS: Final = {"results", "label_paths"}


@pytest.fixture
def url(endpoints: Endpoints) -> Iterator[str]:
    """An empty database on the stack's server."""
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(endpoints.database_url, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}".encode())
        yield endpoints.database_url.rpartition("/")[0] + f"/{name}"
        # FORCE ends only the owner's sessions, and an analyst's session ends a moment after its client.
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename <> current_user"
        until(lambda: owner.execute(others, [name]).fetchone() == (0,))
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def empty(url: str) -> Iterator[Database]:
    """An empty database, opened."""
    with Database(url) as opened:
        yield opened


def relations(database: Database, kinds: str = "rv") -> set[str]:
    """The names of all tables (r) and views (v)."""
    query = text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = ANY(:kinds)")
    with database.autocommit() as connection:
        return set(connection.execute(query, {"kinds": list(kinds)}).scalars())


def set_revision(database: Database, revision: str) -> None:
    """Marks the database as migrated by another version."""
    with database.autocommit() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def test_the_oldest_and_the_newest_revision_are_those_of_the_migrations() -> None:
    migrations = ScriptDirectory.from_config(_config())

    assert (migrations.get_base(), migrations.get_current_head()) == (OLDEST, HEAD)


def test_a_changed_schema_or_grant_has_a_new_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    statements = list[str]()

    def collect(ddl: Any, *_: object, **__: object) -> None:
        statements.append(ddl if isinstance(ddl, str) else str(ddl.compile(dialect=engine.dialect)))

    def collect_script(script: str, **_: object) -> None:
        statements.append(re.sub("--.*", "", script))

    engine = create_mock_engine("postgresql+psycopg://", collect)
    monkeypatch.setattr(engine, "exec_driver_sql", collect_script, raising=False)
    monkeypatch.setattr(op, "get_bind", lambda: engine)
    monkeypatch.setattr(op, "execute", collect)
    ScriptDirectory.from_config(_config()).get_revision(OLDEST).module.upgrade()

    # If this fails: write the next revision into baseline.py and revision.py, and both values here.
    assert (HEAD, sha256("".join(sorted(statements)).encode()).hexdigest()[:12]) == ("0014", "8ce8bca11d75")


def test_an_empty_database_gets_all_tables_and_views(empty: Database) -> None:
    assert upgrade(empty) == (None, HEAD)

    assert relations(empty) == set(metadata.tables) | VIEWS | {"alembic_version"}


def test_a_second_upgrade_changes_nothing_and_keeps_the_data(empty: Database) -> None:
    upgrade(empty)
    write_window(empty, [classified()])

    assert upgrade(empty) == (HEAD, HEAD)

    with empty.autocommit() as connection:
        assert connection.execute(text("SELECT count(*) FROM results")).scalar() == 1


def release_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Add a migration as a later release would, with a new column of `tickets`; return its revision."""
    migrations = tmp_path / "migrations"
    config = _config()
    shutil.copytree(config.get_main_option("script_location") or "", migrations)
    revision = f"{int(HEAD) + 1:04}"
    (migrations / "versions" / "next.py").write_text(
        f"from alembic import op\nrevision, down_revision = {revision!r}, {HEAD!r}\n"
        "def upgrade():\n    op.execute('ALTER TABLE tickets ADD COLUMN colour text')\n"
    )
    config.set_main_option("script_location", str(migrations))
    monkeypatch.setattr("triagem.db.upgrade._config", lambda: config)
    monkeypatch.setattr("triagem.db.revision.HEAD", revision)
    monkeypatch.setattr("triagem.db.upgrade.HEAD", revision)
    return revision


def test_a_database_of_an_earlier_release_is_migrated_and_keeps_its_data(
    empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(empty)
    write_window(empty, [classified()])
    later = release_next(tmp_path, monkeypatch)

    with pytest.raises(NotMigrated, match=rf"^the database is at revision {HEAD}, expected {later}"):
        require_current(empty)

    assert upgrade(empty) == (HEAD, later)

    require_current(empty)
    with empty.autocommit() as connection:
        assert connection.execute(text("SELECT count(*) FROM tickets WHERE colour IS NULL")).scalar() == 1


def test_a_database_without_our_tables_is_refused_until_it_is_upgraded(empty: Database) -> None:
    with pytest.raises(NotMigrated, match=r"^the database lacks our tables.*: run `triagem db upgrade`"):
        require_current(empty)

    upgrade(empty)

    require_current(empty)


def test_concurrent_upgrades_run_one_after_the_other(url: str) -> None:
    def run(_: int) -> tuple[str | None, str]:
        with Database(url) as database:
            return upgrade(database)

    with ThreadPoolExecutor(4) as pool:
        revisions = list(pool.map(run, range(4)))

    assert sorted(revisions, key=str) == [(HEAD, HEAD)] * 3 + [(None, HEAD)]


def test_a_database_that_a_newer_version_has_migrated_is_used_and_left_alone(empty: Database) -> None:
    upgrade(empty)
    set_revision(empty, "9999")
    before = relations(empty)

    require_current(empty)
    assert upgrade(empty) == ("9999", "9999")

    assert relations(empty) == before


def test_tables_of_an_unreleased_version_are_refused_with_what_to_do(empty: Database) -> None:
    upgrade(empty)
    set_revision(empty, "0007")

    for check in (require_current, upgrade):
        with pytest.raises(
            NotMigrated, match=r"^an unreleased version created these tables \(revision 0007\): create"
        ):
            check(empty)


def test_a_migration_that_fails_leaves_nothing_behind(empty: Database) -> None:
    with empty.autocommit() as connection:
        connection.execute(text("CREATE VIEW results AS SELECT 'somebody else''s' AS whose"))

    with pytest.raises(StatementRefused):
        upgrade(empty)

    assert relations(empty) == {"results"}


def test_a_second_database_on_one_server_shares_the_reader_role(
    empty: Database, url: str, endpoints: Endpoints
) -> None:
    upgrade(empty)
    write_window(empty, [classified()])

    reader = endpoints.reader_url.rpartition("/")[0] + "/" + url.rpartition("/")[2]
    with psycopg.connect(reader) as connection:
        assert connection.execute("SELECT count(*) FROM results").fetchone() == (1,)
