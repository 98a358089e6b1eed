"""The statement that empties a database of tests and benchmarks."""

import pytest
from sqlalchemy import text

from triagem.contracts.errors import TriagemError
from triagem.db import Database
from triagem.db.schema import TRUNCATE_ALL

ADD = text("INSERT INTO uploads (name) VALUES (:name) RETURNING id")


def test_all_tables_are_emptied_and_number_their_rows_from_one(database: Database) -> None:
    with database.autocommit() as connection:
        connection.execute(ADD, {"name": "a"})
        connection.execute(TRUNCATE_ALL)

        assert connection.execute(text("SELECT count(*) FROM uploads")).scalar_one() == 0
        assert connection.execute(ADD, {"name": "b"}).scalar_one() == 1


def test_a_table_whose_only_row_was_refused_numbers_from_one_too(database: Database) -> None:
    with pytest.raises(TriagemError), database.autocommit() as connection:
        connection.execute(ADD, {"name": None})
    with database.autocommit() as connection:
        connection.execute(TRUNCATE_ALL)

        assert connection.execute(ADD, {"name": "b"}).scalar_one() == 1
