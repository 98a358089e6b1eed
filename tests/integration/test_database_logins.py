"""Refused logins are distinguished from outages, without a password in any message."""

from typing import Any

import pytest
from sqlalchemy import make_url

from tests.support.database_errors import PASSWORD, connect_and_query, refused
from triagem.contracts.errors import (
    AccessDenied,
    InvalidInput,
)
from triagem.db import Database, DatabaseSettings
from triagem.stack import Endpoints


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
    def test_a_wrong_login_is_for_the_operator_to_fix(self, endpoints: Endpoints, change: dict[str, Any]) -> None:
        url = make_url(endpoints.database_url)
        wrong = url._replace(**change)

        with refused(
            AccessDenied, "^Postgres refused our user, password or database: check ", secret=f"{url.password}"
        ):
            connect_and_query(wrong.render_as_string(hide_password=False))

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
    def test_an_invalid_url_is_named_but_not_shown(self, url: str) -> None:
        with refused(InvalidInput, "TRIAGEM_DATABASE_URL"):
            connect_and_query(url)

    def test_no_repr_shows_the_password(self) -> None:
        url = f"postgresql://triagem:{PASSWORD}@127.0.0.1/triagem"
        settings = DatabaseSettings.model_validate({"database_url": url})
        with Database(url, settings) as database:
            shown = f"{settings!r} {settings} {database!r} {database} {vars(database)} {database.engine.url}"

        assert "triagem" in shown
        assert PASSWORD not in shown
