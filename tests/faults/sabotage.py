"""What Postgres is made to do: wait, refuse, run out of connections. All by means that its owner has."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import text

from db import Database

_HOG: Final = "hog"


@contextmanager
def trigger(database: Database, body: str, when: str) -> Iterator[None]:
    """A trigger function on the way of the window's statement; `when` as in CREATE TRIGGER, without its name."""
    kind, _, rest = when.partition(" ")
    create = f"CREATE CONSTRAINT TRIGGER fault {rest}" if kind == "DEFERRED" else f"CREATE TRIGGER fault {when}"
    table = when.partition(" ON ")[2].split()[0]
    with database.autocommit() as connection:
        connection.execute(text("CREATE SEQUENCE fault_count"))
        connection.execute(
            text(f"CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$")
        )
        connection.execute(text(f"{create} EXECUTE FUNCTION fault()"))
    try:
        yield
    finally:
        with database.autocommit() as connection:
            connection.execute(text(f"DROP TRIGGER fault ON {table}"))
            connection.execute(text("DROP FUNCTION fault"))
            connection.execute(text("DROP SEQUENCE fault_count"))


@contextmanager
def failing(database: Database, state: str, times: int, *, on_commit: bool = False) -> Iterator[None]:
    """The first `times` statements fail with this SQLSTATE. A sequence counts: it forgets nothing at a rollback."""
    body = f"IF nextval('fault_count') <= {times} THEN RAISE EXCEPTION 'as told' USING ERRCODE = '{state}'; END IF;"
    when = "AFTER INSERT ON predictions"
    deferred = f"DEFERRED {when} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    with trigger(database, body, deferred if on_commit else f"{when} FOR EACH STATEMENT"):
        yield


@contextmanager
def slow(database: Database, seconds: float) -> Iterator[None]:
    """Each window's statement takes so long."""
    with trigger(database, f"PERFORM pg_sleep({seconds});", "AFTER INSERT ON predictions FOR EACH STATEMENT"):
        yield


def failures(database: Database) -> int:
    """How often the fault's sequence was asked."""
    with database.autocommit() as connection:
        return int(connection.execute(text("SELECT last_value FROM fault_count WHERE is_called")).scalar() or 0)


@contextmanager
def no_connection_free(database_url: str) -> Iterator[None]:
    """All connections are taken, those that the workers had too."""
    with ExitStack() as held:
        first = held.enter_context(psycopg.connect(database_url, autocommit=True, application_name=_HOG))
        end = time.monotonic() + 30
        while _take_all(held, database_url) or _others(first):
            assert time.monotonic() < end, "somebody still has a connection"
        yield


def _take_all(held: ExitStack, database_url: str) -> int:
    taken = 0
    while True:
        try:
            held.enter_context(psycopg.connect(database_url, autocommit=True, application_name=_HOG))
        except psycopg.OperationalError:
            return taken
        taken += 1


def _others(connection: psycopg.Connection) -> int:
    """End everybody else's sessions; how many there were."""
    end = sql.SQL(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE usename = current_user AND application_name <> {}"
    )
    return len(connection.execute(end.format(_HOG)).fetchall())
