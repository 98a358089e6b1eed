"""Postgres errors become Triagem's errors, and none contains a password or a customer's text."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from socket import create_server, socket
from threading import Thread
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

from tests.support.builders import YESTERDAY, classified
from tests.support.database_errors import PASSWORD, SECRET_TEXT, connect_and_query, refused
from triagem.contracts.errors import (
    DatabaseUnavailable,
    NotMigrated,
    RowRefused,
    WindowTooLarge,
)
from triagem.contracts.ticket import Ticket
from triagem.db import Database, DatabaseSettings, connect, upgrade
from triagem.db.connect import database_errors
from triagem.db.tickets.dead_letters import insert_dead_letter
from triagem.db.tickets.queries import Filters, find_ticket_with_history, list_results
from triagem.db.tickets.window import ClassifiedTicket, write_window
from triagem.ops import verify
from triagem.stack import Endpoints


def with_settings(endpoints: Endpoints, **settings: Any) -> Database:
    """The stack's database, opened with these settings."""
    return Database(endpoints.database_url, DatabaseSettings(**settings))


def hang_up(listener: socket) -> None:
    """Accept every client and close its connection."""
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            client.close()


def backend(connection: Connection) -> int:
    """The server process of this connection."""
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP to a process, SIGCONT after the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class TestUnavailable:
    def test_a_server_that_is_not_there(self) -> None:
        with create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]

        with refused(DatabaseUnavailable, r"^Postgres does not answer or is busy \(connection refused\)$"):
            connect_and_query(f"postgresql://triagem:{PASSWORD}@127.0.0.1:{port}/triagem")

    def test_a_server_that_closes_connections(self) -> None:
        with create_server(("127.0.0.1", 0)) as listener:
            Thread(target=hang_up, args=(listener,), daemon=True).start()

            with refused(DatabaseUnavailable, r"^Postgres does not answer or is busy \(connection closed\)$"):
                connect_and_query(f"postgresql://triagem:{PASSWORD}@127.0.0.1:{listener.getsockname()[1]}/triagem")

    def test_a_session_that_is_ended_midway_and_then_another_one(self, database: Database) -> None:
        with refused(DatabaseUnavailable, "57P01"), database.autocommit() as connection:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid()), :words"), {"words": SECRET_TEXT})

        assert write_window(database, [classified()]).predictions == 1

    def test_a_session_that_was_ended_while_idle_is_replaced_without_an_error(
        self, database: Database, endpoints: Endpoints
    ) -> None:
        with database.autocommit() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        with psycopg.connect(endpoints.database_url) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

        assert write_window(database, [classified()]).predictions == 1


class TestFrozen:
    """SIGSTOP to the server: its kernel still acknowledges packets, so neither Postgres nor TCP ends the call."""

    def test_a_call_ends_in_time(self, endpoints: Endpoints) -> None:
        with (
            with_settings(endpoints, statement_timeout_s=0.3) as database,
            database.engine.connect() as connection,
            stopped(backend(connection)),
            refused(DatabaseUnavailable, r"^Postgres does not answer or is busy \(timeout\)$"),
            database_errors(),
        ):
            connection.execute(text("SELECT :words"), {"words": SECRET_TEXT})

    def test_an_idle_connection_is_replaced_before_a_statement_would_time_out(self, endpoints: Endpoints) -> None:
        def connected_backend() -> int:
            with database.autocommit() as connection:
                return backend(connection)

        with with_settings(endpoints, statement_timeout_s=600) as database, ThreadPoolExecutor(1) as reader:
            frozen = connected_backend()
            with stopped(frozen):
                assert reader.submit(connected_backend).result(60) != frozen

    def test_more_readers_than_connections_get_an_error_while_nothing_connects(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connect, "_CONNECT_S", 2)  # the least that libpq takes
        with create_server(("127.0.0.1", 0), backlog=50) as listener, ThreadPoolExecutor(20) as readers:
            database = Database(f"postgresql://u:p@127.0.0.1:{listener.getsockname()[1]}/triagem")
            answers = [readers.submit(database.rows, "SELECT 1") for _ in range(20)]
            assert {type(answer.exception(20)) for answer in answers} == {DatabaseUnavailable}


class TestWithoutTimeLimit:
    """Statements that an operator runs have no time limit."""

    def test_an_upgrade_waits_longer_than_a_statement_may_take(self, endpoints: Endpoints) -> None:
        with (
            psycopg.connect(endpoints.database_url) as other,
            with_settings(endpoints, statement_timeout_s=0.1) as database,
            ThreadPoolExecutor(1) as operator,
        ):
            other.execute("SELECT pg_advisory_xact_lock(%s)", [upgrade.LOCK])
            upgrading = operator.submit(upgrade.upgrade, database)
            other.execute("SELECT pg_sleep(1)")
            assert not upgrading.done()
            other.rollback()
            assert upgrading.result()

    def test_a_check_of_all_tables_is_not_ended(self, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verify, "CHECKS", [("slow", "", "SELECT 'a' AS row WHERE pg_sleep(1) IS NULL;")])
        with with_settings(endpoints, statement_timeout_s=0.1) as database:
            assert dict(verify.verify_tables(database)) == {"slow": None}


class TestBusy:
    """Errors to retry later: the rows are valid, so no row may become a dead letter."""

    def test_a_lock_that_is_held_too_long(self, database: Database, endpoints: Endpoints) -> None:
        write_window(database, [classified()])
        with (
            psycopg.connect(endpoints.database_url) as holder,
            with_settings(endpoints, lock_timeout_s=0.05) as hasty,
        ):
            holder.execute("SELECT FROM tickets FOR UPDATE")

            with refused(DatabaseUnavailable, "55P03"):
                write_window(hasty, [classified(text=SECRET_TEXT, epoch=2)])

    def test_a_statement_that_takes_too_long(self, endpoints: Endpoints) -> None:
        with (
            with_settings(endpoints, statement_timeout_s=0.05) as hasty,
            refused(WindowTooLarge, "57014"),
            hasty.autocommit() as connection,
        ):
            connection.execute(text("SELECT pg_sleep(60), :words"), {"words": SECRET_TEXT})

    def test_a_statement_that_takes_too_much_memory(self, database: Database) -> None:
        raised = "DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '53200'; END $$"
        with refused(WindowTooLarge, "53200"), database.autocommit() as connection:
            connection.execute(text(raised))

    def test_a_transaction_that_fails_to_serialize(self, database: Database) -> None:
        write_window(database, [classified()])
        change = text("UPDATE tickets SET text = :words")
        with refused(DatabaseUnavailable, "40001"), database_errors(), database.engine.connect() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ")
            connection.execute(text("SELECT FROM tickets"))
            write_window(database, [classified(epoch=2)])
            connection.execute(change, {"words": SECRET_TEXT})

    def test_a_standby_that_accepts_no_writes_yet(self, database: Database) -> None:
        with refused(DatabaseUnavailable, "25006"), database.autocommit() as connection:
            connection.execute(text("SET default_transaction_read_only = on"))
            connection.execute(text("DELETE FROM tickets WHERE text = :words"), {"words": SECRET_TEXT})


class TestWrongDatabase:
    @pytest.mark.parametrize(
        "use",
        [
            lambda database: write_window(database, [classified(text=SECRET_TEXT)]),
            lambda database: list_results(database, Filters(), limit=1),
            lambda database: find_ticket_with_history(database, "zendesk", SECRET_TEXT),
            lambda database: insert_dead_letter(database, classified().lane, b"1-0", SECRET_TEXT.encode(), "x"),
        ],
        ids=["write", "results", "show", "dead letter"],
    )
    def test_a_database_without_our_tables(self, endpoints: Endpoints, use: Callable[[Database], object]) -> None:
        bare = Database(endpoints.database_url.rpartition("/")[0] + "/postgres")
        with (
            bare,
            refused(
                NotMigrated,
                "^the database lacks our tables, or this login may not see them: run `triagem db upgrade`",
            ),
        ):
            use(bare)

    def test_a_login_that_may_only_read(self, endpoints: Endpoints) -> None:
        with Database(endpoints.reader_url) as reader, refused(NotMigrated, "this login may not see them"):
            write_window(reader, [classified(text=SECRET_TEXT)])


def unchecked_ticket(**changes: Any) -> ClassifiedTicket:
    """A result whose ticket was not validated."""
    fields: dict[str, Any] = {"source": "zendesk", "external_id": "1", "text": SECRET_TEXT, "revised_at": YESTERDAY}
    return replace(classified(), ticket=Ticket.model_construct(**fields | {"metadata": {}} | changes))


def unchecked_prediction(**changes: Any) -> ClassifiedTicket:
    """A result whose prediction was not validated."""
    row = unchecked_ticket()
    return replace(row, prediction=replace(row.prediction, **changes))


class TestRefused:
    """A retry would fail again, because Postgres cannot store a value of the row."""

    @pytest.mark.parametrize(
        "row",
        [
            unchecked_ticket(text=f"{SECRET_TEXT} \0"),
            unchecked_ticket(text=f"{SECRET_TEXT} \ud800"),
            unchecked_ticket(metadata={"note": f"{SECRET_TEXT} \0"}),
            unchecked_ticket(metadata={"note": SECRET_TEXT, "score": float("nan")}),
            unchecked_ticket(external_id=f"{SECRET_TEXT} \0"),
            unchecked_prediction(label=None),
            unchecked_prediction(tokens=2**40),
            unchecked_prediction(tokens=2**70),
            unchecked_prediction(probabilities={SECRET_TEXT: float("inf")}),
        ],
        ids=[
            "NUL in the text", "surrogate", "NUL in metadata", "NaN in metadata", "NUL in the name", "no label",
            "beyond an integer", "beyond a bigint", "infinite probability",
        ],
    )  # fmt: skip
    def test_a_row_that_cannot_be_stored_leaves_nothing_of_its_window(
        self, database: Database, row: ClassifiedTicket
    ) -> None:
        with refused(RowRefused):
            write_window(database, [classified(external_id="2"), row])

        assert list_results(database, Filters(), limit=9).rows == []

    @pytest.mark.parametrize("name", [f"{SECRET_TEXT} \0", f"{SECRET_TEXT} \udcff"], ids=["NUL", "surrogate"])
    def test_a_query_with_a_value_that_cannot_be_stored(self, database: Database, name: str) -> None:
        with refused(RowRefused):
            find_ticket_with_history(database, "zendesk", name)
        with refused(RowRefused):
            list_results(database, Filters(label=name), limit=1)

    def test_a_row_that_violates_a_unique_constraint(self, database: Database) -> None:
        write_window(database, [classified(external_id=SECRET_TEXT), classified(external_id="2")])

        with refused(RowRefused, "23505"), database.autocommit() as connection:
            connection.execute(text("UPDATE tickets SET external_id = :words"), {"words": SECRET_TEXT})
