"""The console's messages in English and Portuguese."""

import re
from string import Formatter
from typing import get_args

import pytest

from triagem.contracts.portuguese import in_portuguese
from triagem.db.audit import Action
from triagem.db.outbox.alerts import ALERT_KINDS
from triagem.gateway.console.messages import MESSAGES, Lang, preferred_language
from triagem.gateway.console.render import HERE, format_number
from triagem.inbox.lease import AT_WORK, COLLECTING, WARMING_UP
from triagem.notify.alert_messages import headline
from triagem.registry import gate_texts


def placeholders(message: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(message) if name is not None}


def test_both_languages_have_each_message_with_the_same_placeholders() -> None:
    for key, (english, portuguese) in MESSAGES.items():
        assert english, key
        assert portuguese, key
        assert placeholders(english) == placeholders(portuguese), key


def test_pages_use_only_messages_of_the_catalogue() -> None:
    for file in (HERE / "templates").glob("*.html"):
        source = file.read_text(encoding="utf-8")
        for key in re.findall(r"\bt\('(\w+)'[,)]", source):
            assert key in MESSAGES, f"{file.name}: {key}"
        shown = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}|<[^>]*>|&\w+;", " ", source, flags=re.DOTALL)
        assert not set(re.findall(r"[^\W\d_]{2,}", shown)) - {"Triagem"}, file.name


def test_a_reason_of_the_gate_is_in_portuguese_with_its_numbers() -> None:
    reason = gate_texts.SMALL_GAIN.format(accuracy=0.862, current=0.874, rows=1254, gain=-0.012, required=0.02)
    assert in_portuguese(reason) == (
        "acurácia de 0,862 contra 0,874 em 1.254 linhas: diferença de -0,012, exigido: mais de +0,020"
    )


def test_each_kind_of_alert_and_each_state_of_a_worker_has_a_name() -> None:
    assert {kind for kind in ALERT_KINDS if headline("pt-BR", kind, {}) == kind} == set()
    assert {f"worker_{state}" for state in (AT_WORK, WARMING_UP, COLLECTING, "waiting")} <= MESSAGES.keys()


def test_each_action_of_the_audit_trail_is_said_in_both_languages() -> None:
    texts = {action: MESSAGES[f"action_{action}"] for action in get_args(Action)}
    assert {action for action, (english, portuguese) in texts.items() if english == portuguese} == set()


@pytest.mark.parametrize(
    ("header", "language"),
    [("", "en"), ("pt-BR", "pt"), ("de,pt;q=0.8,en;q=0.9", "en"), ("fr, PT ;q=0.2", "pt"), ("pt;q=x,en;q=0", "en")],
)
def test_the_browsers_first_supported_language_is_used(header: str, language: str) -> None:
    assert preferred_language(header) == language


def test_portuguese_numbers_have_a_comma() -> None:
    assert format_number(Lang.PT, 1234.5, 1) == "1.234,5"
    assert format_number(Lang.EN, 1234.5, 1) == "1,234.5"
