"""`triagem alerts check` and `test`; `triagem ops` does not start with invalid rules."""

import json
from pathlib import Path

import pytest

from tests.support.alerting import rules_file
from tests.support.command import Triagem, assert_one_line
from tests.support.delivery import verified_data
from tests.support.mailbox import Mailbox
from tests.support.receiver import CannedResponse, Receiver

TWO_CHANNELS = '[rules.doubtful]\nchannels = ["team", "mail"]\nlabels = ["suporte"]\nlanguage = "pt-BR"'


def mail(port: int) -> str:
    channel = f'[channels.mail]\ntype = "email"\nhost = "localhost"\nport = {port}\nsecurity = "none"\n'
    return channel + 'from = "t@example.com"\nto = ["ana@example.com"]'


def test_check_lists_rules_and_channels_and_sends_nothing(bare: Triagem, tmp_path: Path) -> None:
    answer = bare(
        "alerts", "check", str(rules_file(tmp_path, rules=TWO_CHANNELS, channels=mail(25))), "--format", "json"
    )
    assert answer.status == 0
    rows = json.loads(answer.out)
    assert [(row["rule"], row["channel"], row["type"], row["language"], row["labels"]) for row in rows] == [
        ("doubtful", "team", "webhook", "pt-BR", ["suporte"]),
        ("doubtful", "mail", "email", "pt-BR", ["suporte"]),
    ]


def test_check_prints_numbers_as_they_are_written_and_no_interval_of_system_alerts(
    bare: Triagem, tmp_path: Path
) -> None:
    rules = '[rules.doubtful]\nchannels = ["team"]\nunder = 0.6\nevery_s = 60\n'
    rules += '[rules.system]\nchannels = ["team"]\nkinds = ["no-worker"]\n'

    *_, doubtful, system = bare("alerts", "check", str(rules_file(tmp_path, rules=rules))).out.splitlines()

    assert doubtful.split()[-2:] == ["0.6", "60"]
    assert "300" not in system


def test_check_names_a_label_that_the_current_model_does_not_have(
    bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instant_models: Path
) -> None:
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(instant_models))
    rules = '[rules.doubtful]\nchannels = ["team"]\nlabels = ["supporte", "venda"]'

    answer = bare("alerts", "check", str(rules_file(tmp_path, rules=rules)))

    assert answer.status == 0
    assert answer.err.splitlines() == [
        "note: [rules.doubtful] labels: 'supporte' is not a label of the current model: did you mean 'suporte'?"
    ]


@pytest.mark.parametrize("command", [("alerts", "check"), ("alerts", "test", "doubtful"), ("ops",)])
def test_invalid_rules_are_reported_in_one_line(
    triagem: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    file = rules_file(tmp_path, rules='[rules.doubtful]\nchannels = ["nobody"]')
    monkeypatch.setenv("TRIAGEM_ALERTS_FILE", str(file))
    assert_one_line(triagem(*command), "[rules.doubtful] channels: there is no [channels.nobody]")


def test_without_rules_check_reports_that_no_alert_is_sent(bare: Triagem) -> None:
    assert_one_line(bare("alerts", "check"), "TRIAGEM_ALERTS_FILE is not set: no alert is sent")


def test_an_invalid_monitor_setting_stops_the_ops_worker(triagem: Triagem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_MONITOR_LATENCY_S", "fast")
    assert_one_line(triagem("ops"), "TRIAGEM_MONITOR_LATENCY_S: must be a number")


def test_a_test_message_goes_through_each_channel(
    bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver().open() as hook, Mailbox().open() as box:
        monkeypatch.setenv("TRIAGEM_ALERTS_FILE", str(rules_file(tmp_path, hook.url, TWO_CHANNELS, mail(box.port))))
        answer = bare("alerts", "test", "doubtful", "--format", "json")
    assert answer.status == 0
    assert [row["delivered"] for row in json.loads(answer.out)] == [True, True]
    assert verified_data(hook.received[0])["text"].endswith(
        "Mensagem de teste: os alertas da regra doubtful chegam aqui."
    )
    assert "Mensagem de teste" in box.received[0].get_content()


def test_a_channel_that_refuses_the_test_message_is_reported_with_exit_status_1(
    bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver(lambda _: CannedResponse(410)).open() as hook, Mailbox().open() as box:
        monkeypatch.setenv("TRIAGEM_ALERTS_FILE", str(rules_file(tmp_path, hook.url, TWO_CHANNELS, mail(box.port))))
        answer = bare("alerts", "test", "doubtful", "--format", "json")
    assert answer.status == 1
    rows = [(row["delivered"], row["error"]) for row in json.loads(answer.out)]
    assert rows == [(False, "answered 410"), (True, "")]


def test_an_unknown_rule_is_reported(bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_ALERTS_FILE", str(rules_file(tmp_path)))
    assert_one_line(bare("alerts", "test", "sales"), "has no rule 'sales'; its rules: doubtful, system")
