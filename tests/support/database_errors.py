"""Database errors, checked for secrets that they must not contain."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from sqlalchemy import text

from triagem.contracts.errors import TriagemError
from triagem.db import Database

PASSWORD: Final = "hush-hush"
SECRET_TEXT: Final = "my card number is"


@contextmanager
def refused(leaf: type[TriagemError], says: str | None = None, *, secret: str = PASSWORD) -> Iterator[None]:
    """Inside, this error is raised; neither its message, its repr nor its traceback contains a secret."""
    with pytest.raises(leaf, match=says) as caught:
        yield
    assert caught.type is leaf
    error = caught.value
    output = f"{error} {error!r} {error.args} {''.join(traceback.format_exception(error))}"
    assert [leak for leak in (secret, PASSWORD, SECRET_TEXT) if leak in output] == []


def connect_and_query(url: str) -> None:
    """Connect and run a query."""
    with Database(url) as database, database.autocommit() as connection:
        connection.execute(text("SELECT 1"))
