"""What goes wrong with Postgres becomes a leaf of our error tree, and none tells a password or a customer's text."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from socket import create_server, socket
from threading import Thread
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from tests.support.builders import YESTERDAY, classified
from tests.support.refusals import PASSWORD, WORDS, ask, refused
from triagem.cli.stack import Endpoints
from triagem.contracts.errors import (
    AccessDenied,
    DatabaseAway,
    NotMigrated,
    RowRefused,
)
from triagem.contracts.ticket import Ticket
from triagem.db import Database, DatabaseSettings
from triagem.db.connect import database_errors
from triagem.db.dead import bury
from triagem.db.queries import Filters, results, show
from triagem.db.window import Classified, write


def with_settings(endpoints: Endpoints, **settings: Any) -> Database:
    """The stack's database, opened with other limits."""
    return Database(endpoints.database_url, DatabaseSettings(**settings))


def hang_up(listener: socket) -> None:
    """Let every client in, and out."""
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            client.close()


class TestAway:
    def test_a_server_that_is_not_there(self) -> None:
        with create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

        with refused(DatabaseAway, "^Postgres does not answer or is busy"):
            ask(f"postgresql://triagem:{PASSWORD}@127.0.0.1:{port}/triagem")

    def test_a_server_that_hangs_up(self) -> None:
        with create_server(("127.0.0.1", 0)) as listener:
            Thread(target=hang_up, args=(listener,), daemon=True).start()

            with refused(DatabaseAway, "^Postgres does not answer or is busy"):
                ask(f"postgresql://triagem:{PASSWORD}@127.0.0.1:{listener.getsockname()[1]}/triagem")

    def test_a_session_that_is_ended_in_the_middle_and_then_another_one(self, database: Database) -> None:
        with refused(DatabaseAway, "57P01"), database.autocommit() as connection:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid()), :words"), {"words": WORDS})

        assert write(database, [classified()]).predictions == 1

    def test_a_session_that_was_ended_while_nobody_used_it_is_not_noticed(
        self, database: Database, endpoints: Endpoints
    ) -> None:
        with database.autocommit() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        with psycopg.connect(endpoints.database_url) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

        assert write(database, [classified()]).predictions == 1


class TestBusy:
    """Try the same again later: nothing is wrong with the rows, so none of them may be condemned for it."""

    def test_a_lock_that_somebody_holds_too_long(self, database: Database, endpoints: Endpoints) -> None:
        write(database, [classified()])
        with (
            psycopg.connect(endpoints.database_url) as holder,
            with_settings(endpoints, lock_timeout_s=0.05) as hasty,
        ):
            holder.execute("SELECT FROM tickets FOR UPDATE")

            with refused(DatabaseAway, "55P03"):
                write(hasty, [classified(text=WORDS, epoch=2)])

    def test_a_statement_that_takes_too_long(self, endpoints: Endpoints) -> None:
        with (
            with_settings(endpoints, statement_timeout_s=0.05) as hasty,
            refused(DatabaseAway, "57014"),
            hasty.autocommit() as connection,
        ):
            connection.execute(text("SELECT pg_sleep(60), :words"), {"words": WORDS})

    def test_a_transaction_that_another_one_overtook(self, database: Database) -> None:
        write(database, [classified()])
        change = text("UPDATE tickets SET text = :words")
        with refused(DatabaseAway, "40001"), database_errors(), database.engine.connect() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ")
            connection.execute(text("SELECT FROM tickets"))
            write(database, [classified(epoch=2)])
            connection.execute(change, {"words": WORDS})

    def test_a_standby_that_takes_no_writes_yet(self, database: Database) -> None:
        with refused(DatabaseAway, "25006"), database.autocommit() as connection:
            connection.execute(text("SET default_transaction_read_only = on"))
            connection.execute(text("DELETE FROM tickets WHERE text = :words"), {"words": WORDS})


class TestNotOurs:
    @pytest.mark.parametrize(
        "use",
        [
            lambda database: write(database, [classified(text=WORDS)]),
            lambda database: results(database, Filters(), limit=1),
            lambda database: show(database, "zendesk", WORDS),
            lambda database: bury(database, classified().lane, b"1-0", WORDS.encode(), "x"),
        ],
        ids=["write", "results", "show", "bury"],
    )
    def test_a_database_without_our_tables(self, endpoints: Endpoints, use: Callable[[Database], object]) -> None:
        bare = Database(endpoints.database_url.rpartition("/")[0] + "/postgres")
        with bare, refused(NotMigrated, "^the database lacks our tables: run `triagem db upgrade`$"):
            use(bare)

    def test_a_login_that_may_only_read(self, endpoints: Endpoints) -> None:
        with Database(endpoints.reader_url) as reader, refused(AccessDenied):
            write(reader, [classified(text=WORDS)])


def unchecked(**changes: Any) -> Classified:
    """A result whose ticket has not passed intake."""
    fields: dict[str, Any] = {"source": "zendesk", "external_id": "1", "text": WORDS, "revised_at": YESTERDAY}
    return replace(classified(), ticket=Ticket.model_construct(**fields | {"metadata": {}} | changes))


def said(**changes: Any) -> Classified:
    """A prediction that has not passed the judge."""
    row = unchecked()
    return replace(row, prediction=replace(row.prediction, **changes))


class TestRefused:
    """Trying the same again changes nothing: something in the row cannot be stored."""

    @pytest.mark.parametrize(
        "row",
        [
            unchecked(text=f"{WORDS} \0"),
            unchecked(text=f"{WORDS} \ud800"),
            unchecked(metadata={"note": f"{WORDS} \0"}),
            unchecked(metadata={"note": WORDS, "score": float("nan")}),
            unchecked(external_id=f"{WORDS} \0"),
            said(label=None),
            said(tokens=2**40),
            said(tokens=2**70),
            said(probabilities={WORDS: float("inf")}),
        ],
        ids=[
            "NUL in the text", "surrogate", "NUL in metadata", "NaN in metadata", "NUL in the name", "no label",
            "beyond an integer", "beyond a bigint", "infinite probability",
        ],
    )  # fmt: skip
    def test_a_row_that_cannot_be_stored_leaves_nothing_of_its_window(
        self, database: Database, row: Classified
    ) -> None:
        with refused(RowRefused):
            write(database, [classified(external_id="2"), row])

        assert results(database, Filters(), limit=9).rows == []

    @pytest.mark.parametrize("name", [f"{WORDS} \0", f"{WORDS} \udcff"], ids=["NUL", "surrogate"])
    def test_a_question_that_cannot_be_asked(self, database: Database, name: str) -> None:
        with refused(RowRefused):
            show(database, "zendesk", name)
        with refused(RowRefused):
            results(database, Filters(label=name), limit=1)

    def test_a_row_that_stands_in_the_way(self, database: Database) -> None:
        write(database, [classified(external_id=WORDS), classified(external_id="2")])

        with refused(RowRefused, "23505"), database.autocommit() as connection:
            connection.execute(text("UPDATE tickets SET external_id = :words"), {"words": WORDS})
