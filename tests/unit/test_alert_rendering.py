"""Alert messages: two languages, links, no ticket text; and no name from a CRM can inject markup or lines."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from string import Formatter

import pytest

from triagem.contracts.prediction import AbstainReason, Band
from triagem.db.outbox.alert_digests import AlertDigest, DoubtfulCount, DoubtfulTicket, SystemEvent
from triagem.db.outbox.alerts import ALERT_KINDS, LOW_CONFIDENCE
from triagem.notify.alert_messages import _PHRASES, describe, phrase
from triagem.notify.alert_rendering import (
    build_email,
    build_message,
    build_test_message,
    slack_body,
    ticket_link,
    webhook_body,
)
from triagem.notify.alert_rules import Language

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CONSOLE = "https://triagem.example.com/console"
DOUBT = DoubtfulTicket("zendesk", "4711", "venda", 0.512, Band.REVIEW)


def alert_digest(
    *doubts: DoubtfulTicket, events: tuple[SystemEvent, ...] = (), tickets: int = 7, more: int = 0
) -> AlertDigest:
    counts = [DoubtfulCount("venda", "zendesk", tickets)] if doubts else []
    return AlertDigest(12, 1, "doubtful.team", NOW, counts, doubts, events, more)


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "en",
            [
                "Triagem [doubtful]: 7 tickets to review, 1 system alert",
                "zendesk venda: 7",
                "Lowest confidence:",
                "- zendesk 4711: venda, 51% confidence (needs review) https://triagem.example.com/console/ticket?source=zendesk&id=4711",
                "data drift: shifted",
            ],
        ),
        (
            "pt-BR",
            [
                "Triagem [doubtful]: 7 tickets para revisar, 1 alerta do sistema",
                "zendesk venda: 7",
                "Menor confiança:",
                f"- zendesk 4711: venda, confiança de 51% (para revisão) {CONSOLE}/ticket?source=zendesk&id=4711",
                (
                    "mudança nos dados (drift): as mensagens recentes diferem dos dados da versão v1.0.0; "
                    "veja `triagem drift`"
                ),
            ],
        ),
    ],
)
def test_counts_and_the_least_confident_tickets_are_listed(language: Language, lines: list[str]) -> None:
    event = SystemEvent("drift", NOW, {"summary": "shifted", "version": "v1.0.0"})
    assert build_message(alert_digest(DOUBT, events=(event,)), language, CONSOLE).text.splitlines() == lines


def test_both_languages_have_the_same_phrases_with_the_same_placeholders() -> None:
    english, portuguese = _PHRASES["en"], _PHRASES["pt-BR"]
    assert english.keys() == portuguese.keys()
    for key, text in english.items():
        assert placeholders(text) == placeholders(portuguese[key]), key


def placeholders(phrase: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(phrase) if name is not None}


@pytest.mark.parametrize("kind", sorted(ALERT_KINDS - {LOW_CONFIDENCE}))
@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_each_kind_has_a_message_even_without_values(kind: str, language: Language) -> None:
    assert build_message(alert_digest(events=(SystemEvent(kind, NOW, {}),)), language, None).lines
    assert describe(language, kind, {"summary": "it is so"})


@pytest.mark.parametrize("language", ["en", "pt-BR"])
@pytest.mark.parametrize("reason", AbstainReason)
def test_a_ticket_without_a_decision_has_its_reason(language: Language, reason: AbstainReason) -> None:
    message = build_message(alert_digest(replace(DOUBT, band=Band.ABSTAIN, abstain_reason=reason)), language, None)

    assert phrase(language, "abstain") + ": " in message.text
    assert message.data["least_sure"][0]["abstain_reason"] == reason


def test_without_a_console_there_are_no_links() -> None:
    message = build_message(alert_digest(DOUBT), "en", None)
    assert "http" not in message.text
    assert message.data["least_sure"][0]["link"] is None


def test_a_link_escapes_any_name() -> None:
    ticket = DoubtfulTicket("web form", "a/../b?c#d", "venda", 0.5, Band.REVIEW)
    assert ticket_link(ticket, CONSOLE + "/") == f"{CONSOLE}/ticket?source=web%20form&id=a%2F..%2Fb%3Fc%23d"


def test_a_name_neither_breaks_a_line_nor_mentions_a_channel() -> None:
    message = build_message(
        alert_digest(DoubtfulTicket("zendesk", "<!channel>\nInjected: &lt;x", "venda", 0.5, Band.REVIEW)), "en", None
    )
    assert len(message.lines) == 3
    text = json.loads(slack_body(message))["text"]
    assert "&lt;!channel&gt;?Injected: &amp;lt;x" in text
    assert "<" not in text


@pytest.mark.parametrize(
    "name", ["*b*", "@channel", "https://evil.example/x", "a`*b*`c", "_i_", "[a](https://x.example)"]
)
def test_a_chat_program_reads_no_markup_in_a_name(name: str) -> None:
    message = build_message(alert_digest(DoubtfulTicket(name, name, "venda", 0.5, Band.REVIEW)), "en", None)

    text = json.loads(slack_body(message))["text"]
    shown = name.replace("`", "'").replace("://", ": //")
    assert f"- `{shown}` `{shown}`: venda" in text
    assert text.count("`") == 2 * 3
    assert name in message.text


def test_each_channel_has_the_same_id_at_each_attempt() -> None:
    first, second = (build_message(alert_digest(DOUBT), "en", None) for _ in range(2))
    assert first.key == second.key == json.loads(webhook_body(first))["data"]["id"]
    emails = [
        build_email(message, "t@example.com", ["a@example.com", "b@example.com"]) for message in (first, second)
    ]
    assert {email["Message-ID"] for email in emails} == {f"<{first.key}@example.com>"}
    assert emails[0]["To"] == "a@example.com, b@example.com"
    assert emails[0]["Auto-Submitted"] == "auto-generated"


def test_a_test_message_says_what_it_is() -> None:
    assert (
        build_test_message("doubtful", "en", NOW).text
        == "Triagem [doubtful]: Test message: alerts of the rule doubtful arrive here."
    )
