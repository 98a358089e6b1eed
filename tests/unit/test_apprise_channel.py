"""Alert channels of Apprise: a message arrives, a failure is retried, a wrong URL is refused without being shown."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.receiver import CannedResponse, Receiver
from triagem.contracts.errors import InvalidInput
from triagem.notify.alert_rendering import build_test_message
from triagem.notify.alert_rules import AlertRules, load
from triagem.notify.channels import channel_sender
from triagem.notify.request import Delivered, Retry, SendResult


def rules(folder: Path, url: str) -> AlertRules:
    file = folder / "alerts.toml"
    file.write_text(f'[channels.chat]\ntype = "apprise"\nurl = "{url}"\n[rules.all]\nchannels = ["chat"]\n')
    return load(file)


def send(folder: Path, url: str) -> SendResult:
    post = channel_sender([])
    message = build_test_message("all", "pt-BR", datetime(2026, 11, 2, tzinfo=UTC))
    return post(rules(folder, url).targets["all.chat"].channel, message)


def test_a_message_arrives_with_its_subject(tmp_path: Path) -> None:
    with Receiver().open() as receiver:
        assert send(tmp_path, f"json://127.0.0.1:{receiver.port}/hook") == Delivered()

    (request,) = receiver.received
    assert request.document["title"] == "Triagem: Mensagem de teste: os alertas da regra all chegam aqui."


def test_a_refused_message_is_retried(tmp_path: Path) -> None:
    with Receiver(lambda _: CannedResponse(503)).open() as receiver:
        assert isinstance(send(tmp_path, f"json://127.0.0.1:{receiver.port}/hook"), Retry)


def test_a_wrong_url_or_a_missing_package_is_named_without_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match="is not a URL that Apprise knows") as caught:
        rules(tmp_path, "nonsense://secret-token")
    assert "secret-token" not in str(caught.value)

    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(InvalidInput, match=r"pip install 'triagem\[apprise\]'"):
        rules(tmp_path, "json://127.0.0.1/hook")
