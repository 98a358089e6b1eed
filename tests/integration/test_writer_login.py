"""`triagem db upgrade` with TRIAGEM_WRITER_URL creates the workers' login, which only the owner may create."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url

from tests.support.command import Triagem, assert_one_line
from triagem.stack import Endpoints


@pytest.fixture
def writer_url(endpoints: Endpoints) -> Iterator[str]:
    """A URL whose login does not exist yet and is dropped afterwards."""
    url = make_url(endpoints.database_url).set(username="worker's", password="p@ss:word")
    yield url.render_as_string(hide_password=False)
    with psycopg.connect(endpoints.database_url) as owner:
        owner.execute('DROP ROLE IF EXISTS "worker\'s"')


def test_the_login_can_write_rows_and_a_second_upgrade_leaves_it_alone(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, writer_url: str
) -> None:
    monkeypatch.setenv("TRIAGEM_WRITER_URL", writer_url)
    for _ in range(2):
        answer = triagem("db", "upgrade")
        assert answer.status == 0, answer
        assert "p@ss:word" not in answer.out + answer.err
        assert "the login worker's can read and write rows" in answer.out
        with psycopg.connect(writer_url) as session:
            query = "SELECT pg_has_role(current_user, 'triagem_writer', 'member')"
            assert session.execute(query).fetchone() == (True,)


@pytest.mark.parametrize("url", ["postgresql://host/db", "postgresql://user@host/db", "secret-without-a-url"])
def test_a_url_without_a_login_is_reported_in_one_line(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("TRIAGEM_WRITER_URL", url)
    answer = triagem("db", "upgrade")
    assert_one_line(answer, "TRIAGEM_WRITER_URL")
    assert url not in answer.err
