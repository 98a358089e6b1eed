"""Alert messages: two languages, links, no ticket text; and no name from a CRM can inject markup or lines."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from triagem.contracts.prediction import AbstainReason, Band
from triagem.db.outbox.alerts import (
    ALERT_KINDS,
    CALIBRATION,
    DRIFT,
    LOW_CONFIDENCE,
    MONITOR_KINDS,
    OUTAGE_KINDS,
    RETRAINING_DUE,
    AlertDigest,
    DoubtfulCount,
    DoubtfulTicket,
    SystemEvent,
)
from triagem.db.reviews import AccuracyEstimate
from triagem.notify.alert_messages import _PHRASES, RUNBOOK_SECTIONS, describe, duration, phrase, system_alert_detail
from triagem.notify.alert_rendering import (
    AlertMessage,
    build_email,
    build_message,
    build_test_message,
    slack_payload,
    ticket_link,
    webhook_event,
)
from triagem.notify.alert_rules import AlertSettings, Language
from triagem.trainer.monitor.drift import DriftReport, FeatureShift
from triagem.trainer.monitor.due import RetrainingFacts, check_due
from triagem.trainer.monitor.tasks import DIVERGED
from triagem.trainer.settings import DueSettings

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CONSOLE = "https://triagem.example.com/console"
DOUBT = DoubtfulTicket("zendesk", "4711", "venda", 0.512, Band.REVIEW)


def alert_digest(
    *doubts: DoubtfulTicket, events: tuple[SystemEvent, ...] = (), tickets: int = 7, more: int = 0
) -> AlertDigest:
    counts = [DoubtfulCount("venda", "zendesk", tickets)] if doubts else []
    return AlertDigest(12, 1, NOW, None, "doubtful.team", counts, doubts, events, more)


def render(digest: AlertDigest, language: Language, **settings: Any) -> AlertMessage:
    return build_message(digest, language, AlertSettings(**settings))


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "en",
            [
                "Triagem: data drift; 7 tickets to review",
                "data drift: v1.0.0: drift in languages (99 samples against 99 first samples)",
                "  what to do: docs/how-to/runbook.md#triagemdrift",
                "  console: https://triagem.example.com/console/operations",
                "zendesk venda: 7",
                "Lowest confidence:",
                "- zendesk 4711: venda, 51% confidence (needs review) https://triagem.example.com/console/ticket?source=zendesk&id=4711",
            ],
        ),
        (
            "pt-BR",
            [
                "Triagem: mudança nos dados (drift); 7 tickets para revisar",
                "mudança nos dados (drift): v1.0.0: mudança em idiomas (99 amostras contra as 99 primeiras)",
                "  o que fazer: docs/how-to/runbook.md#triagemdrift",
                f"  console: {CONSOLE}/operations",
                "zendesk venda: 7",
                "Menor confiança:",
                f"- zendesk 4711: venda, confiança de 51% (para revisão) {CONSOLE}/ticket?source=zendesk&id=4711",
            ],
        ),
    ],
)
def test_counts_and_the_least_confident_tickets_are_listed(language: Language, lines: list[str]) -> None:
    summary = "v1.0.0: drift in languages (99 samples against 99 first samples)"
    event = SystemEvent("drift", NOW, {"summary": summary, "version": "v1.0.0"})
    assert render(alert_digest(DOUBT, events=(event,)), language, console_url=CONSOLE).text.splitlines() == lines


def test_both_languages_have_the_same_phrases_with_the_same_placeholders() -> None:
    for key, (english, portuguese) in _PHRASES.items():
        assert placeholders(english) == placeholders(portuguese), key


def placeholders(phrase: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(phrase) if name is not None}


def system_event(kind: str, state: str, *, minutes: int = 2) -> SystemEvent:
    since = NOW - timedelta(minutes=minutes)
    return SystemEvent(kind, NOW, system_alert_detail(kind, state, 0.2, 0.1, since=since, now=NOW))


@pytest.mark.parametrize("kind", sorted({*MONITOR_KINDS, *OUTAGE_KINDS}))
@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_the_subject_is_the_cause_and_the_line_has_since_when(kind: str, language: Language) -> None:
    message = render(alert_digest(events=(system_event(kind, "open"),)), language)

    cause = message.subject.removeprefix("Triagem: ")
    assert cause not in {phrase(language, kind), kind}
    since = {"en": "2026-11-22 11:58 UTC", "pt-BR": "22/11/2026 11:58 UTC"}[language]
    assert message.lines[0].startswith(f"{cause} ({phrase(language, 'since', since=since)})")
    assert message.data["events"][0]["detail"]["since"] == "2026-11-22T11:58:00+00:00"


def test_portuguese_numbers_have_a_comma() -> None:
    digest = alert_digest(DOUBT, events=(system_event("unsure-share", "open"),), tickets=1234)

    message = render(digest, "pt-BR")

    assert message.subject == (
        "Triagem: 20,0% dos tickets em tempo real têm baixa confiança (limite: 10,0%); 1.234 tickets para revisar"
    )
    assert "zendesk venda: 1.234" in message.lines


def details() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each kind of system alert with numbers above a thousand, as the process that raises it writes it."""
    for kind in (*MONITOR_KINDS, *OUTAGE_KINDS):
        yield kind, system_alert_detail(kind, "open", 54321, 12345, since=NOW, now=NOW)
    length = FeatureShift("length", 1, 0, True, {"median": 9}, {"median": 99})
    report = DriftReport("v1.0.0", "first samples", 54321, 12345, (length,))
    yield DRIFT, {"summary": report.lines()[0]}
    accuracy = AccuracyEstimate(0.5, 0.4, 0.6, 99999, 54321, sampled=54321, unclear=0, uncounted=0, strata=())
    facts = RetrainingFacts("v1.0.0", 54321, ("a",), 12345, 0.9, accuracy, {"b": 12345}, 54321)
    for reason in check_due(facts, DueSettings()):
        yield RETRAINING_DUE, {"version": "v1.0.0", "summary": reason.message}
    figures = {"version": "v1.0.0", "expected": "90.0%", "low": "40.0%", "high": "60.0%", "sampled": 54321}
    yield CALIBRATION, figures | {"summary": DIVERGED.format(**figures)}


@pytest.mark.parametrize(("language", "thousands"), [("en", ","), ("pt-BR", ".")])
def test_large_numbers_of_each_kind_of_alert_have_separators(language: Language, thousands: str) -> None:
    for kind, detail in details():
        message = render(alert_digest(events=(SystemEvent(kind, NOW, detail),), more=2345), language)

        year_first = r"\d{4}-\d\d-\d\d|\d\d/\d\d/\d{4}"
        text = re.sub(year_first, "", message.text)
        assert not re.search(r"\d{4}", text), kind
        assert f"2{thousands}345" in text


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "live tickets are slow: 95% took up to 20 min from enqueue to stored result (target 0.5 s)"),
        ("pt-BR", "tickets em tempo real lentos: 95% levaram até 20 min do envio ao resultado (meta: 0,5 s)"),
    ],
)
def test_a_latency_of_minutes_is_not_in_seconds(language: Language, line: str) -> None:
    detail = system_alert_detail("latency", "open", 1234.5, 0.5, since=NOW, now=NOW)
    assert describe(language, "latency", detail).startswith(line)


@pytest.mark.parametrize(
    ("kind", "english", "portuguese"),
    [
        (
            "run-ended",
            "run 7, version v1.1.0: 1,234 tickets, 0 with another label than before",
            "execução 7, versão v1.1.0; tickets: 1.234, com categoria diferente da anterior: 0",
        ),
        (
            "run-ended",
            "shadow run 7, version v1.1.0: 74 tickets, 3 with another label than before",
            "execução em teste (shadow) 7, versão v1.1.0; tickets: 74, com categoria diferente da anterior: 3",
        ),
        (
            "drift",
            "v1.1.0: drift in length, labels (40 samples against 1,000 held-out rows)",
            "v1.1.0: mudança em comprimento, categorias (40 amostras contra 1.000 linhas separadas do treino)",
        ),
        (
            "drift",
            "v1.1.0: drift in embeddings (400 samples against 1,000 first samples)",
            "v1.1.0: mudança em embeddings (400 amostras contra as 1.000 primeiras)",
        ),
    ],
)
def test_a_summary_has_the_same_figures_in_portuguese(kind: str, english: str, portuguese: str) -> None:
    assert describe("en", kind, {"summary": english}).endswith(f": {english}")
    assert describe("pt-BR", kind, {"summary": english}).endswith(f": {portuguese}")


@pytest.mark.parametrize("outcome", ["promoted", "proposed", "rejected", "failed"])
def test_the_end_of_a_training_is_described_in_portuguese(outcome: str) -> None:
    detail = {"training": 3, "version": "v1.1.0", "outcome": outcome, "summary": "in English"}

    line = describe("pt-BR", "training-ended", detail)

    assert line.startswith("treinamento encerrado: ")
    assert "in English" not in line
    assert ("`triagem jobs show 3`" if outcome == "failed" else "a versão v1.1.0") in line


def test_a_contradiction_of_reviews_and_confidences_names_both_figures() -> None:
    detail = {"version": "v1.0.0", "expected": "95.1%", "low": "80.2%", "high": "88.0%", "sampled": 120}

    (line, link) = render(alert_digest(events=(SystemEvent("calibration", NOW, detail),)), "pt-BR").lines

    assert line == (
        "a confiança não corresponde às revisões: a versão v1.0.0 espera 95,1% de acertos; 120 revisões sorteadas"
        " indicam de 80,2% a 88,0%"
    )
    assert link.endswith("runbook.md#triagemcalibration")


def test_of_several_problems_the_subject_names_the_newest_open_one() -> None:
    events = (system_event("latency", "resolved"), system_event("no-worker", "open"), system_event("memory", "open"))
    assert render(alert_digest(events=events), "en").subject == "Triagem: no worker alive for 2 min, and 2 more"
    resolved = render(alert_digest(events=(system_event("no-worker", "resolved", minutes=90),)), "en")
    assert resolved.text.splitlines()[:2] == [
        "Triagem: resolved (lasted 1 h): no worker is running",
        "resolved (lasted 1 h): no worker is running (started 2026-11-22 10:30 UTC)",
    ]
    assert len(resolved.lines) == 1  # nothing is left to do


def test_times_are_in_the_configured_zone_which_is_named() -> None:
    message = render(alert_digest(events=(system_event("no-worker", "open"),)), "pt-BR", timezone="America/Sao_Paulo")

    assert "(desde 22/11/2026 08:58 America/Sao_Paulo)" in message.lines[0]


def test_an_event_for_programs_has_both_links() -> None:
    message = render(alert_digest(events=(system_event("no-worker", "open"),)), "en", console_url=CONSOLE)

    (event,) = message.data["events"]
    assert event["console"] == f"{CONSOLE}/operations"
    assert event["runbook"].endswith("#triagemnoworker")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(45, "45 s"), (59, "1 min"), (90, "1 min"), (119, "2 min"), (3599, "1 h"), (2 * 86_400 - 1, "2 d")],
)
def test_a_duration_just_below_a_whole_unit_counts_as_whole(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_each_link_to_the_runbook_leads_to_a_section() -> None:
    page = Path("docs/how-to/runbook.md").read_text(encoding="utf-8")
    headings = {line.lstrip("# ").lower() for line in page.splitlines() if line.startswith("#")}
    assert set(RUNBOOK_SECTIONS.values()) <= headings


@pytest.mark.parametrize("kind", sorted(ALERT_KINDS - {LOW_CONFIDENCE}))
@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_each_kind_has_a_message_even_without_values(kind: str, language: Language) -> None:
    assert render(alert_digest(events=(SystemEvent(kind, NOW, {}),)), language).lines
    assert describe(language, kind, {"summary": "it is so"})


@pytest.mark.parametrize("language", ["en", "pt-BR"])
@pytest.mark.parametrize("reason", AbstainReason)
def test_a_ticket_without_a_decision_has_its_reason(language: Language, reason: AbstainReason) -> None:
    undecided = replace(DOUBT, label=None, band=Band.ABSTAIN, abstain_reason=reason)
    digest = replace(alert_digest(undecided), counts=[DoubtfulCount(None, "zendesk", 7)])

    message = render(digest, language)

    no_decision = phrase(language, "abstain")
    assert message.lines[0] == f"zendesk {no_decision}: 7"
    assert message.lines[-1] == f"- zendesk 4711: {no_decision}: {phrase(language, reason)}"
    assert message.data["least_sure"][0]["abstain_reason"] == reason


def test_without_a_console_there_are_no_links() -> None:
    message = render(alert_digest(DOUBT), "en")
    assert "http" not in message.text
    assert message.data["least_sure"][0]["link"] is None


def test_a_link_escapes_any_name() -> None:
    ticket = DoubtfulTicket("web form", "a/../b?c#d", "venda", 0.5, Band.REVIEW)
    assert ticket_link(ticket, CONSOLE + "/") == f"{CONSOLE}/ticket?source=web%20form&id=a%2F..%2Fb%3Fc%23d"


def test_a_name_neither_breaks_a_line_nor_mentions_a_channel() -> None:
    message = render(
        alert_digest(DoubtfulTicket("zendesk", "<!channel>\nInjected: &lt;x", "venda", 0.5, Band.REVIEW)), "en"
    )
    assert len(message.lines) == 3
    text = slack_payload(message)["text"]
    assert "&lt;!channel&gt;?Injected: &amp;lt;x" in text
    assert "<" not in text


@pytest.mark.parametrize(
    "name", ["*b*", "@channel", "https://evil.example/x", "a`*b*`c", "_i_", "[a](https://x.example)"]
)
def test_a_chat_program_reads_no_markup_in_a_name(name: str) -> None:
    message = render(alert_digest(DoubtfulTicket(name, name, "venda", 0.5, Band.REVIEW)), "en")

    text = slack_payload(message)["text"]
    shown = name.replace("`", "'").replace("://", ": //")
    assert f"- `{shown}` `{shown}`: venda" in text
    assert text.count("`") == 2 * 3
    assert name in message.text


def test_each_channel_has_the_same_id_at_each_attempt() -> None:
    first, second = (render(alert_digest(DOUBT), "en") for _ in range(2))
    assert first.key == second.key == webhook_event(first)["data"]["id"]
    emails = [
        build_email(message, "t@example.com", ["a@example.com", "b@example.com"]) for message in (first, second)
    ]
    assert {email["Message-ID"] for email in emails} == {f"<{first.key}@example.com>"}
    assert emails[0]["To"] == "a@example.com, b@example.com"
    assert emails[0]["Auto-Submitted"] == "auto-generated"


def read_back(message: AlertMessage) -> tuple[str, str]:
    """Subject and body of an e-mail as its reader sees them."""
    email = message_from_bytes(build_email(message, "t@example.com", ["a@example.com"]).as_bytes(), policy=default)
    return str(email["Subject"]), email.get_content()


@pytest.mark.parametrize("waited", [90, 360, 86_400])
def test_the_subject_of_an_email_keeps_its_spaces(waited: float) -> None:
    detail = system_alert_detail("oldest-ticket", "open", waited, 300, since=NOW, now=NOW)
    message = render(alert_digest(DOUBT, events=(SystemEvent("oldest-ticket", NOW, detail),)), "pt-BR")

    assert read_back(message)[0] == message.subject


def test_the_body_of_an_email_does_not_repeat_the_subject_alone() -> None:
    message = render(alert_digest(events=(system_event("no-worker", "open"),)), "en")

    assert read_back(message)[1].splitlines() == list(message.lines)
    assert "arrive here" in read_back(build_test_message("doubtful", "en", NOW))[1]


def test_a_test_message_says_what_it_is() -> None:
    assert (
        build_test_message("doubtful", "en", NOW).text
        == "Triagem: Test message: alerts of the rule doubtful arrive here."
    )
