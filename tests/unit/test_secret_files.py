"""TRIAGEM_REDIS_URL_FILE and similar variables: a secret in a file instead of in the environment."""

from pathlib import Path

import pytest

from tests.support.command import Triagem, assert_one_line
from triagem.contracts.errors import InvalidInput
from triagem.process import read_secret_files


def test_a_files_content_becomes_the_variables_value(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:pw@redis/0\n", encoding="utf-8")
    environment = {"TRIAGEM_REDIS_URL_FILE": str(tmp_path / "url"), "HOME": "/"}

    read_secret_files(environment)

    assert environment == {"TRIAGEM_REDIS_URL": "redis://:pw@redis/0", "HOME": "/"}


@pytest.mark.parametrize("name", ["TRIAGEM_CRM_FILE", "TRIAGEM_HEARTBEAT_FILE", "POSTGRES_PASSWORD_FILE"])
def test_files_that_are_settings_themselves_are_left_alone(name: str) -> None:
    environment = {name: "/nowhere"}
    read_secret_files(environment)
    assert environment == {name: "/nowhere"}


def test_a_variable_and_its_file_cannot_both_be_set(tmp_path: Path) -> None:
    environment = {"TRIAGEM_REDIS_URL_FILE": str(tmp_path / "url"), "TRIAGEM_REDIS_URL": "redis://b/0"}
    with pytest.raises(InvalidInput, match="both set"):
        read_secret_files(environment)


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="is empty"):
        read_secret_files({"TRIAGEM_REDIS_URL_FILE": str(tmp_path / "url")})


def test_a_missing_file_is_reported_in_one_line(bare: Triagem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_REDIS_URL_FILE", "/nowhere/url")
    assert_one_line(bare("backlog"), "TRIAGEM_REDIS_URL_FILE=/nowhere/url cannot be read")
