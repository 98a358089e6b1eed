"""The console in a real browser: a ticket arrives, is reviewed by keyboard and found; a model is promoted."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.assessments import report
from tests.support.browser import SIZES, axe, browser, chromium, served
from tests.support.builders import manifest
from tests.support.gateway import services
from tests.support.pipeline import running
from tests.support.reviewing import NOW, unsure
from tests.support.scored_versions import current_and_better
from tests.support.waiting import until
from triagem import Publisher, TicketFields
from triagem.contracts.prediction import AbstainReason
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database
from triagem.db.auth import Scope, create_key
from triagem.db.labels import change_label
from triagem.db.reviews import record_review
from triagem.db.tickets import dead_letters
from triagem.db.tickets.queries import find_ticket_with_history
from triagem.db.tickets.search import index_queued_tickets
from triagem.db.tickets.window import write_window
from triagem.gateway.console.messages import Lang, translate
from triagem.gateway.services import Services
from triagem.inbox import Inbox, connect
from triagem.registry import Registry
from triagem.stack import Endpoints
from triagem.trainer.evaluate.html_report import render_html

EVIL = "<script>window.evil = 1</script><img src=x onerror='window.evil = 1'>"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    chromium()
    with browser() as started:
        yield started


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return current_and_better(tmp_path / "models")


@pytest.fixture
def opened(database: Database, inbox: Inbox, registry: Registry) -> Services:
    return services(database, inbox, models=registry.root)


@pytest.fixture
def lang() -> Lang:
    """The reader's language, unless a test runs in both."""
    return Lang.EN


# For widths: Portuguese words are longer.
portuguese_first = pytest.mark.parametrize("lang", [Lang.PT, pytest.param(Lang.EN, marks=pytest.mark.slow)])
# For what the markup decides; `test_console_languages.py` reads each page in both languages.
english_first = pytest.mark.parametrize("lang", [Lang.EN, pytest.param(Lang.PT, marks=pytest.mark.slow)])


@pytest.fixture
def console(opened: Services, chrome: Any, lang: Lang) -> Iterator[Any]:
    """A logged-in page; the test fails if the browser logs a warning or an error."""
    _, secret = create_key(opened.database, "ana", [Scope.ADMIN])
    locale = {Lang.EN: "en-GB", Lang.PT: "pt-BR"}[lang]
    context = chrome.new_context(locale=locale, viewport=dict(zip(("width", "height"), SIZES["wide"], strict=True)))
    page = context.new_page()
    messages: list[str] = []

    def record(message: Any) -> None:
        if message.type in {"error", "warning"}:
            messages.append(message.text)

    page.on("console", record)
    page.on("pageerror", lambda error: messages.append(str(error)))
    with served(opened) as address:
        page.goto(f"{address}/console/")
        page.fill("#key", secret)
        page.press("#key", "Enter")
        page.wait_for_url("**/console/overview")
        page.address, page.lang, page.errors = f"{address}/console", lang, messages
        yield page
        context.close()
    assert messages == []


def press(console: Any, key: str) -> None:
    """Press a key once the page's script listens."""
    console.wait_for_load_state()
    console.keyboard.press(key)


@english_first
def test_a_ticket_arrives_is_reviewed_by_keyboard_and_found_and_a_model_is_promoted(
    console: Any, database: Database, inbox: Inbox, endpoints: Endpoints, registry: Registry
) -> None:
    t = partial(translate, console.lang)
    assert t("no_results") in console.content()
    ticket: TicketFields = {"source": "crm", "external_id": "4711", "text": "Minha fatura veio em dobro"}
    with running(endpoints, registry.root):
        Publisher(inbox).publish_many([ticket])
        console.get_by_text(t("unsure_of", count=1, least=50)).wait_for(timeout=30_000)  # the page refreshes itself

    console.get_by_role("link", name=t("review"), exact=True).click()
    console.get_by_text("Minha fatura veio em dobro").wait_for()
    console.locator("summary", has_text=t("propose_label")).click()
    console.keyboard.type("estorno")
    assert console.get_by_label(t("proposed_label")).input_value() == "estorno"
    console.get_by_text("Minha fatura veio em dobro").click()
    press(console, "?")
    console.locator("details[open] dd", has_text=t("unclear")).wait_for()
    press(console, "v")
    console.get_by_text(t("saved", label="venda")).wait_for()
    press(console, "b")
    console.get_by_text(t("undone")).wait_for()
    press(console, "s")
    console.get_by_text(t("saved", label="suporte")).wait_for()
    detail = find_ticket_with_history(database, "crm", "4711")
    assert detail
    assert (detail.ticket["label"], detail.ticket["reviewer"]) == ("suporte", "ana")

    until(lambda: index_queued_tickets(database) == 0)
    console.get_by_role("link", name=t("tickets"), exact=True).click()
    console.get_by_label(t("search")).fill("faturas")
    console.keyboard.press("Enter")
    console.get_by_role("link", name="crm · 4711").click()
    console.get_by_role("heading", name="crm · 4711").wait_for()

    console.get_by_role("link", name=t("models"), exact=True).click()
    console.get_by_role("link", name="v1.1.0").click()
    console.get_by_role("button", name=t("promote", version="v1.1.0")).click()
    console.get_by_text(t("promoted", version="v1.1.0")).wait_for()
    assert registry.current().version == "v1.1.0"


def test_a_typed_comment_survives_an_undo_and_is_stored_with_a_proposal(console: Any, database: Database) -> None:
    t = partial(translate, console.lang)
    write_window(database, [unsure("4711", source="crm", text="Quero meu dinheiro de volta")])
    console.goto(f"{console.address}/review")
    console.get_by_label(t("comment")).fill("não é suporte")
    console.get_by_text("Quero meu dinheiro de volta").click()
    press(console, "s")
    console.get_by_text(t("saved", label="suporte")).wait_for()
    press(console, "b")
    console.get_by_text(t("undone")).wait_for()
    console.locator("summary", has_text=t("propose_label")).click()
    console.keyboard.type("estorno")
    console.keyboard.press("Enter")
    console.get_by_text(t("proposed")).wait_for()

    detail = find_ticket_with_history(database, "crm", "4711")
    assert detail
    assert [(review["proposal"], review["comment"]) for review in detail.reviews] == [("estorno", "não é suporte")]


def test_a_typed_comment_survives_a_change_of_the_text(console: Any, database: Database) -> None:
    t = partial(translate, console.lang)
    write_window(database, [unsure("4711", text="before")])
    console.goto(f"{console.address}/ticket?source=zendesk&id=4711")
    console.get_by_label(t("comment")).fill("não é suporte")
    write_window(database, [unsure("4711", text="after", revised_at=NOW)])

    console.get_by_role("button", name="suporte").click()

    console.get_by_text(t("rejected_changed")).wait_for()
    assert console.get_by_label(t("comment")).input_value() == "não é suporte"


@english_first
def test_an_open_overview_shows_within_seconds_that_redis_is_gone_and_that_it_is_back(
    console: Any, opened: Services
) -> None:
    working, opened.inbox.redis = opened.inbox.redis, connect("redis://127.0.0.1:1/0")
    console.get_by_text(translate(console.lang, "error_redis")).wait_for()
    opened.inbox.redis = working
    console.get_by_text(translate(console.lang, "no_workers")).wait_for()
    console.errors.clear()  # the browser reports each 503


def pages(console: Any, database: Database) -> Iterator[str]:
    """Opens each page of the console, with a ticket whose fields contain HTML and scripts."""
    evil = unsure(EVIL, text=EVIL, source="<b>crm</b>", metadata={EVIL: EVIL})
    write_window(database, [evil, *(unsure(str(number), 0.5 + number / 100) for number in range(30))])
    dead_letters.insert_dead_letter(database, Lane.LIVE, b"1-0", b"{", EVIL)
    for path in (
        "overview", "start", "preflight", "review", "tickets", "models", "model?version=v1.1.0", "operations",
    ):  # fmt: skip
        console.goto(f"{console.address}/{path}")
        yield path
    console.goto(f"{console.address}/tickets?source=%3Cb%3Ecrm%3C%2Fb%3E")
    console.get_by_role("link", name="<b>crm</b> ·").click()
    console.locator("details summary").first.click()
    yield "ticket"
    console.get_by_role("button", name=translate(console.lang, "log_out")).click()
    console.wait_for_url("**/login")
    yield "login"


@pytest.mark.parametrize(
    ("lang", "scheme"),
    [
        (Lang.EN, "light"),
        pytest.param(Lang.PT, "light", marks=pytest.mark.slow),
        pytest.param(Lang.EN, "dark", marks=pytest.mark.slow),
    ],
)
def test_every_page_is_accessible_and_runs_no_code_of_a_customer(
    console: Any, database: Database, scheme: str
) -> None:
    script = axe()
    console.emulate_media(color_scheme=scheme)
    for path in pages(console, database):
        assert console.evaluate("window.evil") is None, path
        console.evaluate(script)
        violations = [
            (violation["id"], [node["html"] for node in violation["nodes"]])
            for violation in console.evaluate("axe.run()")["violations"]
            if violation["impact"] in SEVERE
        ]
        assert violations == [], path


SEVERE = {"moderate", "serious", "critical"}


@portuguese_first
@pytest.mark.parametrize("size", SIZES)
def test_no_label_is_broken_within_a_word(console: Any, database: Database, size: str) -> None:
    console.set_viewport_size(dict(zip(("width", "height"), SIZES[size], strict=True)))
    foreign: dict[str, Any] = {"detected": "es", "reason": AbstainReason.OTHER_LANGUAGE}
    write_window(database, [unsure(str(number), text="uma mensagem longa " * 30, **foreign) for number in range(3)])
    record_review(database, Identity("zendesk", "0"), "suporte", "atendente-da-manha", comment="veja " * 20)
    for path, chips in (("tickets", 6), ("ticket?source=zendesk&id=0", 3)):
        console.goto(f"{console.address}/{path}")
        heights = console.locator("tbody .chip").evaluate_all("all => all.map(chip => chip.clientHeight)")
        assert len(heights) == chips
        assert len(set(heights)) == 1, path


@portuguese_first
def test_on_a_phone_no_page_is_wider_than_the_screen(console: Any, database: Database) -> None:
    console.set_viewport_size(dict(zip(("width", "height"), SIZES["phone"], strict=True)))
    change_label(database, "suporte", name="Atendimento" * 5, new=True)
    change_label(database, "venda", name="Atendimento ao cliente", new=True)
    for path in pages(console, database):
        assert console.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0], path
        cut = "all => all.filter(part => part.scrollWidth > part.clientWidth).map(part => part.outerHTML)"
        assert console.locator(".sections, .aside, h1, h2, button").evaluate_all(cut) == [], path
    console.goto("about:blank")  # the report of a version, which has a policy of its own
    console.set_content(render_html(report(notes=("Atendimento" * 6,)), manifest()))
    assert console.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0]


def test_the_description_of_the_api_runs_under_the_consoles_policy(console: Any) -> None:
    console.goto(console.address.replace("/console", "/docs"))
    console.locator(".opblock").first.click()
    console.get_by_text("Try it out").first.wait_for()
