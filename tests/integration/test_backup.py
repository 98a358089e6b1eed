"""`triagem db dump` and `restore`: restore tables and models with any version of the Postgres tools."""

import json
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.support.command import Triagem, assert_one_line
from tests.support.windows import result, rows
from triagem.contracts.errors import InvalidInput
from triagem.db import Database
from triagem.db.revision import require_current
from triagem.db.tickets.window import write_window
from triagem.ops import backup
from triagem.registry import Registry
from triagem.stack import Endpoints


@pytest.fixture
def empty_url(endpoints: Endpoints) -> Iterator[str]:
    """The URL of an empty database on the stack's server."""
    name = f"restored_{uuid4().hex}"
    with psycopg.connect(endpoints.database_url, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}".encode())
        yield endpoints.database_url.rpartition("/")[0] + f"/{name}"
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.parametrize(
    ("registry", "file", "problem"),
    [
        ("nowhere", None, ": check TRIAGEM_REGISTRY_URL"),
        (None, "new.dump.models.tgz", "exists"),
    ],
)
def test_models_that_cannot_be_dumped_are_refused_before_the_tables_are_dumped(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, registry: str | None, file: str | None, problem: str
) -> None:
    if registry:
        monkeypatch.setenv("TRIAGEM_REGISTRY_URL", registry)
    if file:
        Path(file).touch()

    assert_one_line(triagem("db", "dump", "new.dump", "--models"), problem)

    assert not Path("new.dump").exists()


def test_a_backup_is_restored_with_its_models(
    triagem: Triagem, database: Database, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_window(database, [result(external_id=str(number)) for number in range(30)])
    written = json.loads(triagem("db", "dump", "backup.dump", "--models", "--json").out)
    assert {row["file"]: row["bytes"] > 0 for row in written} == {"backup.dump": True, "backup.dump.models.tgz": True}
    assert stat.S_IMODE(Path("backup.dump").stat().st_mode) == 0o600
    assert_one_line(triagem("db", "dump", "backup.dump"), "backup.dump exists: choose another name")
    both = "backup.dump and backup.dump.models.tgz exist: choose another name"
    assert_one_line(triagem("db", "dump", "backup.dump", "--models"), both)
    assert_one_line(triagem("db", "restore", "backup.dump"), "the database has tickets: restore into an empty one")

    monkeypatch.setenv("TRIAGEM_DATABASE_URL", empty_url)
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", "restored")
    assert triagem("db", "upgrade").status == 0
    with Database(empty_url) as restored:
        members = rows(restored, "pg_auth_members")
        restoration = json.loads(triagem("db", "restore", "backup.dump", "--models", "--json").out)
        assert restoration == {"restored": "backup.dump", "login": None}
        assert rows(restored, "pg_auth_members") == members
        require_current(restored)
        assert rows(restored, "predictions") == rows(database, "predictions")
        assert len(rows(restored, "tickets")) == 30
    assert Registry("restored").current().version == "v1.0.0"
    assert_one_line(triagem("db", "restore", "backup.dump", "--models"), "restored is not empty")


def test_a_missing_dump_is_named_before_its_models(triagem: Triagem) -> None:
    assert_one_line(triagem("db", "restore", "new.dump", "--models"), "new.dump: no such file")
    Path("new.dump").touch()
    without = "new.dump.models.tgz: no such file; the dump was made without --models: omit it here too"
    assert_one_line(triagem("db", "restore", "new.dump", "--models"), without)


@pytest.mark.parametrize(
    ("name", "kind"), [("../outside", tarfile.REGTYPE), ("/tmp/outside", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)]
)
def test_an_archive_writes_nothing_outside_its_folder(tmp_path: Path, name: str, kind: bytes) -> None:
    with tarfile.open(tmp_path / "models.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("inside"))
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc"
        archive.addfile(member)

    with pytest.raises(InvalidInput, match="only files and folders inside it"):
        backup.unpack(tmp_path / "models.tar.gz", tmp_path / "models")

    assert not (tmp_path / "models").exists()


def test_an_unreadable_backup_changes_nothing(triagem: Triagem, database: Database) -> None:
    Path("broken.dump").write_bytes(b"PGDMP")
    assert_one_line(triagem("db", "restore", "broken.dump"), "pg_restore: error")
    assert_one_line(triagem("db", "restore", "absent.dump"), "absent.dump: no such file")
    require_current(database)


def test_a_tool_of_another_version_is_refused_by_name(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.4'\n", encoding="utf-8")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(backup, "postgres_programs", lambda: tmp_path / "absent")

    answer = triagem("db", "dump", "backup.dump")

    assert_one_line(answer, "there is no pg_dump of this version (pg_dump (PostgreSQL) 15.4)")
    assert "postgresql-client-18" in answer.err
    assert not Path("backup.dump").exists()
