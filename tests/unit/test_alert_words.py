"""What messages say: in two languages, with links, never with a text; and no name that a CRM gave steers them."""

import json
from datetime import UTC, datetime
from string import Formatter

import pytest

from triagem.alerts.message import link, mail, message, slack_body, trial, webhook_body
from triagem.alerts.settings import Language
from triagem.alerts.words import _WORDS, says
from triagem.contracts.prediction import Band
from triagem.db.alerts import KINDS, LOW_CONFIDENCE
from triagem.db.notices import Count, Doubt, Event, Notice

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CONSOLE = "https://triagem.example.com/console"
DOUBT = Doubt("zendesk", "4711", "venda", 0.512, Band.REVIEW)


def notice(*doubts: Doubt, events: tuple[Event, ...] = (), tickets: int = 7, more: int = 0) -> Notice:
    counts = [Count("venda", "zendesk", tickets)] if doubts else []
    return Notice(12, 1, "doubtful.team", NOW, counts, doubts, events, more)


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "en",
            [
                "Triagem [doubtful]: 7 tickets that a person should look at, 1 message from the system",
                "zendesk venda: 7",
                "Least sure:",
                "- zendesk 4711: venda, 51% sure (review) https://triagem.example.com/console/ticket?source=zendesk&id=4711",
                "drift: shifted",
            ],
        ),
        (
            "pt-BR",
            [
                "Triagem [doubtful]: 7 tickets que alguém deve conferir, 1 aviso do sistema",
                "zendesk venda: 7",
                "Os menos certos:",
                f"- zendesk 4711: venda, 51% de certeza (conferir) {CONSOLE}/ticket?source=zendesk&id=4711",
                "mudança nos dados: a versão v1.0.0 foi feita para outros tickets; veja `triagem drift`",
            ],
        ),
    ],
)
def test_how_many_of_what_and_the_least_sure(language: Language, lines: list[str]) -> None:
    event = Event("drift", NOW, {"says": "shifted", "version": "v1.0.0"})
    assert message(notice(DOUBT, events=(event,)), language, CONSOLE).text.splitlines() == lines


def test_both_languages_say_the_same_things_with_the_same_values() -> None:
    english, portuguese = _WORDS["en"], _WORDS["pt-BR"]
    assert english.keys() == portuguese.keys()
    for key, phrase in english.items():
        assert places(phrase) == places(portuguese[key]), key


def places(phrase: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(phrase) if name is not None}


@pytest.mark.parametrize("kind", sorted(KINDS - {LOW_CONFIDENCE}))
@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_each_kind_has_words_even_without_figures(kind: str, language: Language) -> None:
    assert message(notice(events=(Event(kind, NOW, {}),)), language, None).lines
    assert says(language, kind, {"says": "it is so"})


def test_without_a_console_there_are_no_links() -> None:
    made = message(notice(DOUBT), "en", None)
    assert "http" not in made.text
    assert made.data["least_sure"][0]["link"] is None


def test_a_link_holds_any_name() -> None:
    odd = Doubt("web form", "a/../b?c#d", "venda", 0.5, Band.REVIEW)
    assert link(odd, CONSOLE + "/") == f"{CONSOLE}/ticket?source=web%20form&id=a%2F..%2Fb%3Fc%23d"


def test_a_name_neither_breaks_a_line_nor_calls_a_channel() -> None:
    made = message(notice(Doubt("zendesk", "<!channel>\nInjected: &lt;x", "venda", 0.5, Band.REVIEW)), "en", None)
    assert len(made.lines) == 3
    text = json.loads(slack_body(made))["text"]
    assert "&lt;!channel&gt;?Injected: &amp;lt;x" in text
    assert "<" not in text


def test_each_channel_has_the_same_id_at_each_attempt() -> None:
    first, second = (message(notice(DOUBT), "en", None) for _ in range(2))
    assert first.key == second.key == json.loads(webhook_body(first))["data"]["id"]
    letters = [mail(one, "t@example.com", ["a@example.com", "b@example.com"]) for one in (first, second)]
    assert {one["Message-ID"] for one in letters} == {f"<{first.key}@example.com>"}
    assert letters[0]["To"] == "a@example.com, b@example.com"
    assert letters[0]["Auto-Submitted"] == "auto-generated"


def test_a_test_message_says_what_it_is() -> None:
    assert (
        trial("doubtful", "en", NOW).text == "Triagem [doubtful]: A test: messages of the rule doubtful arrive here."
    )
