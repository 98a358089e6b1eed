"""The login `analyst`, a member of `triagem_reader`, reads the views of `analytics` and nothing else."""

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

VIEWS: Final = ("daily", "expected_accuracy", "history", "messages", "results", "verdicts")
TABLES: Final = ("alembic_version", "label_paths", "results", *sorted(metadata.tables))
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
            "reviews (ticket_id, digest, label, reviewer) SELECT id, digest, 'venda', 'ana'",
            (
                "messages (ticket_id, message_id, author, text, written_at, revised_at, arrival)"
                " SELECT id, '1', 'agent', text, revised_at, revised_at, 1"
            ),
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

    assert {view for view, _ in columns} == set(VIEWS)  # by the login's search path
    assert {name for _, name in columns} & {"text", "digest", "metadata", "payload"} == set()


@pytest.mark.parametrize("table", TABLES)
def test_no_table_is_readable(analyst: psycopg.Connection, table: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        analyst.execute(sql.SQL("SELECT 1 FROM {}").format(sql.Identifier("public", table)))


def test_the_planner_statistics_are_hidden(analyst: psycopg.Connection) -> None:
    assert analyst.execute("SELECT * FROM pg_stats WHERE schemaname = 'public'").fetchall() == []


def test_only_select_on_the_views_is_granted(analyst: psycopg.Connection) -> None:
    granted = analyst.execute("""
        SELECT name, privilege_type
        FROM (SELECT relnamespace, oid::regclass::text, relacl FROM pg_class
              UNION ALL
              SELECT relnamespace, attrelid::regclass || '.' || attname, attacl
              FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid) AS ours (schema, name, acl), aclexplode(acl)
        WHERE schema::regnamespace::text IN ('public', 'analytics')
          AND grantee IN (0, 'analyst'::regrole, 'triagem_reader'::regrole)
    """).fetchall()

    assert sorted(granted) == [(view, "SELECT") for view in VIEWS]


def test_it_has_a_time_limit_and_no_temporary_tables(analyst: psycopg.Connection) -> None:
    assert analyst.execute("SHOW statement_timeout").fetchone() == ("5min",)
    for statement in ("CREATE TEMP TABLE mine (x int)", "SELECT 1 AS x INTO TEMP mine"):
        with pytest.raises(InsufficientPrivilege, match="temporary"):
            analyst.execute(statement.encode())


@pytest.mark.parametrize("view", VIEWS)
def test_texts_of_predict_are_left_out(analyst: psycopg.Connection, database: Database, view: str) -> None:
    write_window(database, [classified(source="predict", digest=b"p")])
    with database.autocommit() as connection:
        connection.execute(
            text("INSERT INTO public.reviews (ticket_id, digest, reviewer) SELECT id, digest, 'ana' FROM tickets")
        )

    rows = analyst.execute(sql.SQL("SELECT DISTINCT source FROM {}").format(sql.Identifier(view))).fetchall()

    assert rows == [("zendesk",)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO public.reviews (ticket_id, digest, label, reviewer) VALUES (1, '', 'venda', 'me')",
        "UPDATE public.tickets SET label = 'venda'",
        "DELETE FROM public.predictions",
        "TRUNCATE public.dead_letters",
        "DROP VIEW results",
        "CREATE TABLE mine (x int)",
        "CREATE TABLE public.mine (x int)",
        "CREATE VIEW public.mine AS SELECT text FROM public.tickets",
        "SELECT nextval('public.tickets_id_seq')",
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
