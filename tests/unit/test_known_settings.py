"""Settings are found in the source, and a misspelt variable is reported with the most similar one."""

import re
from pathlib import Path

import pytest

from tests.support.command import Triagem
from tests.support.manifests import ROOT
from triagem.cli.known_settings import invalid_values, known_variables, unknown_variables


def test_variables_of_all_packages_are_found() -> None:
    assert {"TRIAGEM_REDIS_URL", "TRIAGEM_DEVICE", "TRIAGEM_SCALE_MAX", "TRIAGEM_TRAIN_SEED"} <= known_variables()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("TRIAGEM_BATCH_TOKENS", "x", "must be a whole number or must be auto"),
        ("TRIAGEM_BATCH_SIZE", "0", "must be at least 1"),
        ("TRIAGEM_PRECISION", "x", "must be one of auto, fp32, bf16 or fp16"),
        ("TRIAGEM_TIMEZONE", "Mars", "is not a time zone: expected a name like America/Sao_Paulo"),
    ],
)
def test_an_invalid_value_is_explained_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)

    assert invalid_values([name]) == [f"{name}: {reason}"]


def test_nested_settings_and_class_attributes_are_not_variables() -> None:
    assert known_variables().isdisjoint({"TRIAGEM_METRICS", "TRIAGEM_USED_BY", "TRIAGEM_MODEL_CONFIG"})


def test_only_secrets_may_come_from_a_file() -> None:
    known = known_variables()

    assert "TRIAGEM_BROKER_URL_FILE" in known
    assert "TRIAGEM_BATCH_SIZE_FILE" not in known


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("TRIAGEM_REVEIW_THRESHOLD", "TRIAGEM_REVIEW_THRESHOLD"),
        ("triagem_redis_ulr", "TRIAGEM_REDIS_URL"),
        ("TRIAGEM_REDIS_URI_FILE", "TRIAGEM_REDIS_URL_FILE"),
        ("TRIAGEM_QQQ", None),
    ],
)
def test_a_misspelt_variable_has_a_suggestion_if_one_is_similar(name: str, nearest: str | None) -> None:
    assert unknown_variables([name, "PATH", "TRIAGEM_LEASE_S"]) == {name: nearest}


def test_variables_that_compose_reads_are_not_reported() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

    assert unknown_variables(re.findall(r"\$\{(TRIAGEM_\w+)", compose)) == {}


def test_a_command_reports_a_misspelt_variable_of_the_environment(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_LEASES", "9")

    assert bare("keys", "--help").err == (
        "triagem: TRIAGEM_LEASES is not a setting and has no effect: did you mean TRIAGEM_LEASE_S?\n"
    )


def test_doctor_reports_a_misspelt_variable_of_the_env_file(bare: Triagem) -> None:
    Path(".env").write_text("TRIAGEM_BATCHSIZE=8\n", encoding="utf-8")

    result = bare("doctor")

    assert result.status == 1
    assert "TRIAGEM_BATCHSIZE is not a setting and has no effect: did you mean TRIAGEM_BATCH_SIZE?" in result.out
