"""What the login `analyst`, a member of `triagem_reader`, can see and do: read three views, and nothing else."""

from collections.abc import Iterator
from typing import Final

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import text

from tests.support.builders import classified
from triagem.cli.stack import Endpoints
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.dead_letters import insert_dead_letter
from triagem.db.tables import Base
from triagem.db.window import write_window

VIEWS: Final = ("daily", "history", "results")
TABLES: Final = ("alembic_version", *sorted(Base.metadata.tables))
WORDS: Final = "my card number is"


@pytest.fixture
def analyst(database: Database, endpoints: Endpoints) -> Iterator[psycopg.Connection]:
    """An analyst's session, on a database with a row in every table and the same words wherever words can stand."""
    write_window(database, [classified(text=WORDS, digest=WORDS.encode(), metadata={"note": WORDS})])
    insert_dead_letter(database, Lane.LIVE, b"1-0", WORDS.encode(), "no ticket")
    with database.autocommit() as connection:
        for rest in (
            "alerts (ticket_id, digest, model_version, band, confidence) SELECT id, digest, model_version, band, 0.6",
            "reviews (ticket_id, digest, label, reviewer) SELECT id, digest, 'suporte', 'ana'",
        ):
            connection.execute(text(f"INSERT INTO {rest} FROM tickets"))
        connection.execute(text("ANALYZE"))
    with psycopg.connect(endpoints.reader_url, autocommit=True) as session:
        yield session


@pytest.mark.parametrize("view", VIEWS)
def test_it_reads_every_view_and_finds_no_customer_s_words_there(analyst: psycopg.Connection, view: str) -> None:
    (row,) = analyst.execute(sql.SQL("SELECT v, v::text FROM {} AS v").format(sql.Identifier(view))).fetchall()

    assert "zendesk" in str(row)
    for words in (WORDS, WORDS.encode().hex()):
        assert words not in str(row)


def test_no_view_has_a_column_for_texts_their_digests_or_metadata(analyst: psycopg.Connection) -> None:
    columns = analyst.execute(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attrelid = ANY(%s::regclass[])",
        [list(VIEWS)],
    ).fetchall()

    assert {view for view, _ in columns} == set(VIEWS)
    assert {name for _, name in columns} & {"text", "digest", "metadata", "payload"} == set()


@pytest.mark.parametrize("table", TABLES)
def test_it_reads_no_table(analyst: psycopg.Connection, table: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        analyst.execute(sql.SQL("SELECT 1 FROM {}").format(sql.Identifier(table)))


def test_it_learns_no_words_from_the_planner_s_statistics(analyst: psycopg.Connection) -> None:
    assert analyst.execute("SELECT * FROM pg_stats WHERE schemaname = 'public'").fetchall() == []


def test_nothing_is_granted_to_it_but_reading_the_views(analyst: psycopg.Connection) -> None:
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
def test_it_changes_nothing_and_becomes_nobody_else(analyst: psycopg.Connection, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        analyst.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO {} DEFAULT VALUES", "UPDATE {} SET source = 'mine'", "DELETE FROM {}", "TRUNCATE {}"],
)
@pytest.mark.parametrize("view", VIEWS)
def test_it_writes_through_no_view(analyst: psycopg.Connection, view: str, statement: str) -> None:
    with pytest.raises(psycopg.Error):  # the views' shape forbids it before their owner does
        analyst.execute(sql.SQL(statement).format(sql.Identifier(view)))
