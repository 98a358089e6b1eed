"""The login `analyst`, a member of `triagem_reader`, can read three views and nothing else."""

from collections.abc import Iterator
from typing import Final

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import text

from tests.support.builders import classified
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.schema import metadata
from triagem.db.tickets.dead_letters import insert_dead_letter
from triagem.db.tickets.window import write_window
from triagem.stack import Endpoints

VIEWS: Final = ("daily", "history", "results")
TABLES: Final = ("alembic_version", *sorted(metadata.tables))
SECRET_TEXT: Final = "my card number is"


@pytest.fixture
def analyst(database: Database, endpoints: Endpoints) -> Iterator[psycopg.Connection]:
    """An analyst's session on a database with a row in every table and the same text in every text column."""
    write_window(
        database, [classified(text=SECRET_TEXT, digest=SECRET_TEXT.encode(), metadata={"note": SECRET_TEXT})]
    )
    insert_dead_letter(database, Lane.LIVE, b"1-0", SECRET_TEXT.encode(), "no ticket")
    with database.autocommit() as connection:
        for insert in (
            "alerts (ticket_id, digest, model_version, band, confidence) SELECT id, digest, model_version, band, 0.6",
            "reviews (ticket_id, digest, label, reviewer) SELECT id, digest, 'suporte', 'ana'",
        ):
            connection.execute(text(f"INSERT INTO {insert} FROM tickets"))
        connection.execute(text("ANALYZE"))
    with psycopg.connect(endpoints.reader_url, autocommit=True) as session:
        yield session


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_readable_and_contains_no_customer_text(analyst: psycopg.Connection, view: str) -> None:
    (row,) = analyst.execute(sql.SQL("SELECT v, v::text FROM {} AS v").format(sql.Identifier(view))).fetchall()

    assert "zendesk" in str(row)
    for secret in (SECRET_TEXT, SECRET_TEXT.encode().hex()):
        assert secret not in str(row)


def test_no_view_has_a_column_for_texts_their_digests_or_metadata(analyst: psycopg.Connection) -> None:
    columns = analyst.execute(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attrelid = ANY(%s::regclass[])",
        [list(VIEWS)],
    ).fetchall()

    assert {view for view, _ in columns} == set(VIEWS)
    assert {name for _, name in columns} & {"text", "digest", "metadata", "payload"} == set()


@pytest.mark.parametrize("table", TABLES)
def test_no_table_is_readable(analyst: psycopg.Connection, table: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        analyst.execute(sql.SQL("SELECT 1 FROM {}").format(sql.Identifier(table)))


def test_the_planner_statistics_are_hidden(analyst: psycopg.Connection) -> None:
    assert analyst.execute("SELECT * FROM pg_stats WHERE schemaname = 'public'").fetchall() == []


def test_only_select_on_the_views_is_granted(analyst: psycopg.Connection) -> None:
    granted = analyst.execute("""
        SELECT relname, privilege_type
        FROM (SELECT relname, relacl FROM pg_class WHERE relnamespace = 'public'::regnamespace
              UNION ALL
              SELECT relname || '.' || attname, attacl FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
              WHERE relnamespace = 'public'::regnamespace) AS ours (relname, acl), aclexplode(acl)
        WHERE grantee IN (0, 'analyst'::regrole, 'triagem_reader'::regrole)
    """).fetchall()

    assert sorted(granted) == [(view, "SELECT") for view in VIEWS]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO reviews (ticket_id, digest, label, reviewer) VALUES (1, '', 'venda', 'me')",
        "UPDATE tickets SET label = 'venda'",
        "DELETE FROM predictions",
        "TRUNCATE dead_letters",
        "DROP VIEW results",
        "CREATE TABLE mine (x int)",
        "CREATE VIEW mine AS SELECT text FROM tickets",
        "SELECT nextval('tickets_id_seq')",
        "GRANT triagem_reader TO analyst",
        "SET ROLE triagem",
        "CREATE ROLE another",
        "COPY results TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_it_can_change_nothing_and_cannot_change_roles(analyst: psycopg.Connection, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        analyst.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO {} DEFAULT VALUES", "UPDATE {} SET source = 'mine'", "DELETE FROM {}", "TRUNCATE {}"],
)
@pytest.mark.parametrize("view", VIEWS)
def test_no_view_is_writable(analyst: psycopg.Connection, view: str, statement: str) -> None:
    with pytest.raises(psycopg.Error):  # the view's definition forbids it before the permission check
        analyst.execute(sql.SQL(statement).format(sql.Identifier(view)))
