"""`triagem ops` and `triagem beat` before they run: what they lack or refuse, in one line; and whether ops lives."""

import os
import time
from pathlib import Path

import pytest

from tests.support.command import Triagem, assert_one_line


def test_without_servers_they_say_how_to_name_or_start_them(bare: Triagem) -> None:
    for command in ("ops", "beat"):
        assert_one_line(bare(command), "TRIAGEM_REDIS_URL is not set", "triagem up")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("TRIAGEM_TIMEZONE", "Mars"), ("TRIAGEM_DRIFT_AT", "25:00"), ("TRIAGEM_TRAINING_DUE_AT", "noon")],
)
def test_a_time_that_is_none_is_named(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    monkeypatch.setenv(setting, value)
    assert_one_line(bare("beat"), setting)


def test_what_a_task_would_stumble_over_at_night_is_said_at_the_start(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_DUE_MAX_AGE_DAYS", "three months")
    assert_one_line(bare("ops"), "TRIAGEM_DUE_MAX_AGE_DAYS")


def test_ops_lives_while_its_heartbeat_is_young(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "heartbeat"
    monkeypatch.setenv("TRIAGEM_OPS_HEARTBEAT_FILE", str(file))
    assert_one_line(bare("ops", "--check"), "has not started, or has exited")
    file.write_text("ready", encoding="utf-8")
    assert bare("ops", "--check").status == 0
    os.utime(file, (time.time() - 3600,) * 2)
    assert_one_line(bare("ops", "--check"), "no heartbeat for")


def test_a_mistake_in_the_crm_file_is_said_at_the_start(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "crm.toml"
    file.write_text('[shop]\nadapter = "generic"\ntoken = "short"\n')
    monkeypatch.setenv("TRIAGEM_CRM_FILE", str(file))
    assert_one_line(bare("ops"), f"{file} [shop]")
