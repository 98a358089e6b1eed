"""Makes Postgres slow, raise errors, or reject connections, with the privileges of the database owner."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql
from sqlalchemy import text

from tests.support.processes import descendants
from triagem.db import Database
from triagem.stack.server import Server


@contextmanager
def trigger(database: Database, body: str, when: str) -> Iterator[None]:
    """Add a trigger that runs within the window's statement; `when` as in CREATE TRIGGER, without the name."""
    kind, _, rest = when.partition(" ")
    create = f"CREATE CONSTRAINT TRIGGER fault {rest}" if kind == "DEFERRED" else f"CREATE TRIGGER fault {when}"
    table = when.partition(" ON ")[2].split()[0]
    with database.autocommit() as connection:
        connection.execute(text("CREATE SEQUENCE fault_count"))
        connection.execute(
            text(
                "CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
                f"AS $$ BEGIN {body} RETURN NEW; END $$"
            )
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
    """The first `times` statements fail with this SQLSTATE. Counted by a sequence, which survives rollbacks."""
    body = f"IF nextval('fault_count') <= {times} THEN RAISE EXCEPTION 'injected' USING ERRCODE = '{state}'; END IF;"
    when = "AFTER INSERT ON predictions"
    deferred = f"DEFERRED {when} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    with trigger(database, body, deferred if on_commit else f"{when} FOR EACH STATEMENT"):
        yield


@contextmanager
def slow(database: Database, seconds: float, *, each: str = "STATEMENT") -> Iterator[None]:
    """Each window's statement takes this many seconds longer, or each ROW of it."""
    with trigger(database, f"PERFORM pg_sleep({seconds});", f"AFTER INSERT ON predictions FOR EACH {each}"):
        yield


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """SIGSTOP to the server and its sessions, SIGCONT after the block."""
    assert server.pid
    pids = [server.pid, *descendants(server.pid)]
    for pid in pids:
        with suppress(ProcessLookupError):  # a session has ended since
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def failures(database: Database) -> int:
    """Number of times the fault was triggered."""
    with database.autocommit() as connection:
        return int(connection.execute(text("SELECT last_value FROM fault_count WHERE is_called")).scalar() or 0)


@contextmanager
def no_connection_free(database_url: str) -> Iterator[None]:
    """Terminate the workers' sessions and reject new ones: too many connections."""
    limit = "ALTER DATABASE triagem CONNECTION LIMIT {}"
    end = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename IS NOT NULL AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(database_url, autocommit=True) as ours:
        ours.execute("GRANT worker TO CURRENT_USER WITH INHERIT TRUE")  # required to terminate its sessions
        try:
            ours.execute(sql.SQL(limit).format(0))
            ours.execute(end)
            yield
        finally:
            ours.execute(sql.SQL(limit).format(-1))
