"""The console in a real browser: a ticket arrives, is reviewed by keyboard and found; a model is promoted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import SIZES, axe, browser, chromium, served
from tests.support.gateway import services
from tests.support.pipeline import running
from tests.support.reviewing import unsure
from tests.support.scored_versions import current_and_better
from tests.support.waiting import until
from triagem import Publisher, TicketFields
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.auth import Scope, create_key
from triagem.db.tickets import dead_letters
from triagem.db.tickets.queries import find_ticket_with_history
from triagem.db.tickets.search import index_queued_tickets
from triagem.db.tickets.window import write_window
from triagem.gateway.services import Services
from triagem.inbox import Inbox
from triagem.registry import Registry
from triagem.stack import Endpoints

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
def console(opened: Services, chrome: Any) -> Iterator[Any]:
    """A logged-in page; the test fails if the browser logs a warning or an error."""
    _, secret = create_key(opened.database, "ana", [Scope.ADMIN])
    context = chrome.new_context(locale="en-GB", viewport=dict(zip(("width", "height"), SIZES["wide"], strict=True)))
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
        page.address = f"{address}/console"
        yield page
        context.close()
    assert messages == []


def test_a_ticket_arrives_is_reviewed_by_keyboard_and_found_and_a_model_is_promoted(
    console: Any, database: Database, inbox: Inbox, endpoints: Endpoints, registry: Registry
) -> None:
    assert "No tickets yet" in console.content()
    ticket: TicketFields = {"source": "crm", "external_id": "4711", "text": "Minha fatura veio em dobro"}
    with running(endpoints, registry.root):
        Publisher(inbox).publish_many([ticket])
        console.get_by_text("of the newest 1;").wait_for(timeout=30_000)  # the page refreshes itself

    console.get_by_role("link", name="Review", exact=True).click()
    console.get_by_text("Minha fatura veio em dobro").wait_for()
    console.locator("summary", has_text="Propose a new one").click()
    console.keyboard.type("estorno")
    assert console.get_by_label("New label").input_value() == "estorno"
    console.get_by_text("Minha fatura veio em dobro").click()
    console.keyboard.press("?")
    console.locator("details[open] dd", has_text="Can't tell").wait_for()
    console.keyboard.press("v")
    console.get_by_text("Saved: venda").wait_for()
    console.keyboard.press("b")
    console.get_by_text("Review undone").wait_for()
    console.keyboard.press("s")
    console.get_by_text("Saved: suporte").wait_for()
    detail = find_ticket_with_history(database, "crm", "4711")
    assert detail
    assert (detail.ticket["label"], detail.ticket["reviewer"]) == ("suporte", "ana")

    until(lambda: index_queued_tickets(database) == 0)
    console.get_by_role("link", name="Tickets", exact=True).click()
    console.get_by_label("Search").fill("faturas")
    console.keyboard.press("Enter")
    console.get_by_role("link", name="crm · 4711").click()
    console.get_by_role("heading", name="crm · 4711").wait_for()

    console.get_by_role("link", name="Models", exact=True).click()
    console.get_by_role("link", name="v1.1.0").click()
    console.get_by_role("button", name="Make v1.1.0 current").click()
    console.get_by_text("v1.1.0 is current").wait_for()
    assert registry.current().version == "v1.1.0"


def pages(console: Any, database: Database) -> Iterator[str]:
    """Opens each page of the console, with a ticket whose fields contain HTML and scripts."""
    evil = unsure(EVIL, text=EVIL, source="<b>crm</b>", metadata={EVIL: EVIL})
    write_window(database, [evil, *(unsure(str(number), 0.5 + number / 100) for number in range(30))])
    dead_letters.insert_dead_letter(database, Lane.LIVE, b"1-0", b"{", EVIL)
    for path in ("overview", "start", "review", "tickets", "models", "model?version=v1.1.0", "operations"):
        console.goto(f"{console.address}/{path}")
        yield path
    console.goto(f"{console.address}/tickets?source=%3Cb%3Ecrm%3C%2Fb%3E")
    console.get_by_role("link", name="<b>crm</b> ·").click()
    console.locator("details summary").first.click()
    yield "ticket"
    console.get_by_role("button", name="Log out").click()
    console.wait_for_url("**/login")
    yield "login"


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
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


def test_on_a_phone_no_page_is_wider_than_the_screen(console: Any, database: Database) -> None:
    console.set_viewport_size(dict(zip(("width", "height"), SIZES["phone"], strict=True)))
    for path in pages(console, database):
        assert console.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0], path


def test_the_description_of_the_api_runs_under_the_consoles_policy(console: Any) -> None:
    console.goto(console.address.replace("/console", "/docs"))
    console.locator(".opblock").first.click()
    console.get_by_text("Try it out").first.wait_for()
