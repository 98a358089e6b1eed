"""Errors of the database, searched for what they must not tell."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from sqlalchemy import text

from triagem.contracts.errors import (
    TriagemError,
)
from triagem.db import Database

PASSWORD: Final = "hush-hush"


WORDS: Final = "my card number is"


@contextmanager
def refused(leaf: type[TriagemError], says: str | None = None, *, secret: str = PASSWORD) -> Iterator[None]:
    """Inside, this leaf is raised; neither its message, its repr nor its traceback tells a secret."""
    with pytest.raises(leaf, match=says) as caught:
        yield
    assert caught.type is leaf
    error = caught.value
    told = f"{error} {error!r} {error.args} {''.join(traceback.format_exception(error))}"
    assert [kept for kept in (secret, PASSWORD, WORDS) if kept in told] == []


def ask(url: str) -> None:
    """Connect, and ask for something."""
    with Database(url) as database, database.autocommit() as connection:
        connection.execute(text("SELECT 1"))
