"""A row that Postgres refuses becomes a dead letter. If Postgres refuses every row, no row does (INV-10)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.pipeline import dead_letter_rows, drained, publish, running, stored
from tests.support.waiting import until
from triagem import Publisher
from triagem.contracts.errors import StatementRefused
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.stack import Endpoints


@pytest.fixture
def refusing(database: Database) -> Iterator[None]:
    """Makes Postgres refuse tickets whose name matches a pattern in the table `refused`."""

    def run(statement: str) -> None:
        with database.autocommit() as connection:
            connection.execute(text(statement))

    run("CREATE TABLE IF NOT EXISTS refused (name text PRIMARY KEY)")
    run("""
        CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF EXISTS (SELECT FROM refused WHERE NEW.external_id LIKE name) THEN
            RAISE EXCEPTION 'refused %', NEW.text USING ERRCODE = '23514';
          END IF;
          RETURN NEW;
        END $$
        """)
    run("CREATE TRIGGER refuse BEFORE INSERT ON tickets FOR EACH ROW EXECUTE FUNCTION refuse()")
    yield
    run("DROP TRIGGER refuse ON tickets")
    run("DROP FUNCTION refuse")
    run("DROP TABLE refused")


def refuse(database: Database, pattern: str) -> None:
    with database.autocommit() as connection:
        connection.execute(text("INSERT INTO refused VALUES (:pattern)"), {"pattern": pattern})


@pytest.mark.usefixtures("refusing")
def test_a_row_that_postgres_refuses_becomes_a_dead_letter_and_its_neighbours_commit(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    refuse(database, "bad-%")
    publish(inbox, 40)
    for number in range(2):
        Publisher(inbox).publish(source="crm", external_id=f"bad-{number}", text="my card number is 4711")
    publish(inbox, 60)
    with running(endpoints, instant_models) as (_, failed):
        until(lambda: drained(inbox))
        assert not failed.is_set()
    assert stored(database) == 60
    assert {reason for _, reason in dead_letter_rows(database)} == {
        "cannot store the result: Postgres refused a value (CheckViolation, SQLSTATE 23514)"
    }
    assert len(dead_letter_rows(database)) == 2


@pytest.mark.usefixtures("refusing")
def test_a_postgres_that_refuses_every_row_stops_the_worker_and_dead_letters_nothing(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    refuse(database, "%")
    publish(inbox, 5)
    with running(endpoints, instant_models) as (pipeline, failed):
        assert failed.wait(90)
    assert type(pipeline.supervisor.failure) is StatementRefused
    assert dead_letter_rows(database) == []
    assert inbox.redis.xlen("triagem:{0}:live") == 5
