"""The login `worker`, a member of `triagem_writer`, can do all that programs do with rows and nothing else."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from tests.support.command import Triagem, assert_one_line
from tests.support.pipeline import publish, running, stored
from tests.support.waiting import until
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.auth import Scope, create_key, find_key, list_keys
from triagem.db.revision import require_current
from triagem.db.schema import metadata
from triagem.inbox import Inbox
from triagem.stack import Endpoints

TABLES = sorted(metadata.tables)
COMMANDS = (
    "results",
    "show crm 0",
    "reband --review-under 0.95",
    "alerts list",
    "review next --random-share 1",
    "review label crm 0 venda",
    "review accuracy",
    "review export reviews.jsonl",
    "dead list",
    "dead show 1",
    "dead replay 1",
    "dead drop --all --yes",
    "deliveries list",
    "deliveries replay --all",
    "deliveries drop --all --yes",
    "db forget crm 1 --yes",
    "db retain --days 1 --yes",
)
ROWS = ("DELETE", "INSERT", "SELECT", "UPDATE")


@pytest.fixture
def worker(endpoints: Endpoints) -> Iterator[psycopg.Connection]:
    """A worker's session."""
    with psycopg.connect(endpoints.writer_url, autocommit=True) as session:
        yield session


def test_the_whole_pipeline_works_with_it(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    with Database(endpoints.writer_url) as writer_database:
        require_current(writer_database)
    publish(inbox, 50)
    publish(inbox, 50)
    inbox.put(Lane.BULK, [b"no ticket"])
    with running(dataclasses.replace(endpoints, database_url=endpoints.writer_url), instant_models) as (_, failed):
        until(lambda: failed.is_set() or all(inbox.redis.xlen(f"triagem:{{0}}:{lane}") == 0 for lane in Lane))
    assert not failed.is_set()
    assert stored(database) == 50


def test_the_commands_that_read_and_change_rows_work_with_it(
    triagem: Triagem, endpoints: Endpoints, inbox: Inbox, instant_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(inbox, 2)
    inbox.put(Lane.LIVE, [b"no ticket"])
    with running(endpoints, instant_models):
        until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)
    monkeypatch.setenv("TRIAGEM_DATABASE_URL", endpoints.writer_url)

    answers = {command: triagem(*command.split()) for command in COMMANDS}

    assert {command: answer.err for command, answer in answers.items() if answer.status} == {}


def test_only_the_owner_creates_and_revokes_keys(
    triagem: Triagem, endpoints: Endpoints, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = create_key(database, "shop", [Scope.ENQUEUE])
    with Database(endpoints.writer_url) as writer_database:
        assert find_key(writer_database, secret) == key  # authentication also stores the key's last use
        (used,) = list_keys(writer_database)
    assert used.last_used_at is not None
    monkeypatch.setenv("TRIAGEM_DATABASE_URL", endpoints.writer_url)

    for command in ("keys create mine --scope admin", f"keys revoke {key.id}", "start --link"):
        assert_one_line(triagem(*command.split()), "use the owner of the tables")
    assert list_keys(database) == [used]


def test_only_row_privileges_are_granted(worker: psycopg.Connection) -> None:
    granted = worker.execute("""
        SELECT relname, privilege_type
        FROM (SELECT relname, relacl FROM pg_class WHERE relnamespace = 'public'::regnamespace
              UNION ALL
              SELECT relname || '.' || attname, attacl FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
              WHERE relnamespace = 'public'::regnamespace) AS ours (relname, acl), aclexplode(acl)
        WHERE grantee IN (0, 'worker'::regrole, 'triagem_writer'::regrole)
    """).fetchall()

    expected = [(table, privilege) for table in TABLES if table != "api_keys" for privilege in ROWS]
    expected += [(name, "SELECT") for name in ("alembic_version", "api_keys", "label_paths", "results")]
    expected += [("api_keys.last_used_at", "UPDATE")]
    assert sorted(granted) == sorted(expected)


@pytest.mark.parametrize("table", TABLES)
def test_it_cannot_change_tables(worker: psycopg.Connection, table: str) -> None:
    for statement in (
        "DROP TABLE {}",
        "TRUNCATE {}",
        "ALTER TABLE {} ADD COLUMN mine int",
        "CREATE INDEX ON {} (id)",
    ):
        with pytest.raises(InsufficientPrivilege):
            worker.execute(sql.SQL(statement).format(sql.Identifier(table)))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (x int)",
        "CREATE VIEW mine AS SELECT 1",
        "DROP VIEW results",
        "UPDATE alembic_version SET version_num = '9999'",
        "SELECT setval('tickets_id_seq', 1)",
        "CREATE ROLE another",
        "GRANT triagem_writer TO analyst",
        "SET ROLE triagem",
        "COPY tickets TO PROGRAM 'cat'",
    ],
)
def test_it_can_create_nothing_and_cannot_change_roles(worker: psycopg.Connection, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        worker.execute(statement.encode())
