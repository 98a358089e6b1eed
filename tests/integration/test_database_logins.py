"""Logins that are refused, told apart from outages, without a password in any message."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import make_url, text

from cli.stack import Endpoints
from contracts.errors import (
    AccessDenied,
    InvalidInput,
    TriagemError,
)
from db import Database, DatabaseSettings

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


class TestLogin:
    @pytest.mark.parametrize(
        "change",
        [
            {"password": PASSWORD},
            {"username": "nobody", "password": PASSWORD},
            {"database": "nowhere"},
            {"password": None},
        ],
        ids=["password", "user", "database", "no password"],
    )
    def test_a_wrong_login_is_the_operator_s_to_mend(self, endpoints: Endpoints, change: dict[str, Any]) -> None:
        url = make_url(endpoints.database_url)
        wrong = url._replace(**change)

        with refused(
            AccessDenied, "^Postgres refused our user, password or database: check ", secret=f"{url.password}"
        ):
            ask(wrong.render_as_string(hide_password=False))

    @pytest.mark.parametrize(
        "url",
        [
            "",
            f"{PASSWORD}",
            f"mysql://triagem:{PASSWORD}@127.0.0.1/triagem",
            f"postgresql://triagem:{PASSWORD}@127.0.0.1:{PASSWORD}/triagem",
            f"postgresql://triagem:half@of:{PASSWORD}@127.0.0.1:5432/triagem",
            f"postgresql://triagem:{PASSWORD}@[::1/triagem",
        ],
        ids=["empty", "no url", "not postgres", "port", "unescaped password", "bracket"],
    )
    def test_a_url_that_is_none_is_named_but_not_shown(self, url: str) -> None:
        with refused(InvalidInput, "TRIAGEM_DATABASE_URL"):
            ask(url)

    def test_no_repr_shows_the_password(self) -> None:
        url = f"postgresql://triagem:{PASSWORD}@127.0.0.1/triagem"
        settings = DatabaseSettings.model_validate({"database_url": url})
        with Database(url, settings) as database:
            shown = f"{settings!r} {settings} {database!r} {database} {vars(database)} {database.engine.url}"

        assert "triagem" in shown
        assert PASSWORD not in shown
