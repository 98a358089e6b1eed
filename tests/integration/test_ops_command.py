"""`triagem ops` and `triagem beat`: one-line errors at start, and the liveness check of ops."""

import os
import time
from pathlib import Path

import pytest

from tests.support.command import Triagem, assert_one_line


def test_without_servers_the_error_says_how_to_configure_or_start_them(bare: Triagem) -> None:
    for command in ("ops", "beat"):
        assert_one_line(bare(command), "TRIAGEM_REDIS_URL is not set", "triagem up")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("TRIAGEM_TIMEZONE", "Mars"), ("TRIAGEM_DRIFT_AT", "25:00"), ("TRIAGEM_TRAINING_DUE_AT", "noon")],
)
def test_an_invalid_time_is_named(bare: Triagem, monkeypatch: pytest.MonkeyPatch, setting: str, value: str) -> None:
    monkeypatch.setenv(setting, value)
    assert_one_line(bare("beat"), setting)


def test_a_gateway_with_an_unknown_time_zone_does_not_start(bare: Triagem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_TIMEZONE", "Mars")
    assert_one_line(bare("gateway"), "TRIAGEM_TIMEZONE")


def test_invalid_settings_of_a_scheduled_task_are_reported_at_start(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_DUE_MAX_AGE_DAYS", "three months")
    assert_one_line(bare("ops"), "TRIAGEM_DUE_MAX_AGE_DAYS")


def test_ops_logs_at_start_why_postgres_does_not_answer(triagem: Triagem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_DATABASE_URL", "postgresql://u:hush@127.0.0.1:1/0")
    monkeypatch.setattr("triagem.ops.run.run_celery_worker", lambda *_, **__: 0)

    answer = triagem("ops")

    assert "Postgres does not answer or is busy (connection refused)" in answer.out + answer.err
    assert "hush" not in answer.out + answer.err


def test_ops_is_alive_while_its_heartbeat_is_recent(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "heartbeat"
    monkeypatch.setenv("TRIAGEM_OPS_HEARTBEAT_FILE", str(file))
    assert_one_line(bare("ops", "--check"), "has not started, or has exited")
    file.write_text("ready", encoding="utf-8")
    assert bare("ops", "--check").status == 0
    os.utime(file, (time.time() - 3600,) * 2)
    assert_one_line(bare("ops", "--check"), "no heartbeat for")


def test_an_error_in_the_crm_file_is_reported_at_start(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "crm.toml"
    file.write_text('[shop]\nadapter = "generic"\ntoken = "short"\n')
    monkeypatch.setenv("TRIAGEM_CRM_FILE", str(file))
    assert_one_line(bare("ops"), f"TRIAGEM_CRM_FILE: {file} [shop]")


@pytest.mark.parametrize("setting", ["TRIAGEM_CRM_FILE", "TRIAGEM_ALERTS_FILE"])
def test_up_reports_an_error_in_a_file_or_setting_before_it_starts_anything(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv(setting, "absent.toml")
    assert_one_line(bare("up"), f"{setting}: absent.toml cannot be read: No such file")
    monkeypatch.setenv("TRIAGEM_MONITOR_EVERY", "15")
    assert_one_line(bare("up"), "TRIAGEM_MONITOR_EVERY: '15' is not a schedule")
    assert not Path(".triagem").exists()
