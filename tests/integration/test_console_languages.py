"""No English on a Portuguese page: what both languages of a page share is data, or a word that both languages use."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from starlette.testclient import TestClient

from tests.support.assessments import report
from tests.support.console import Person
from tests.support.crm import FRESHDESK, unreadable
from tests.support.gateway import services
from tests.support.reviewing import sure, unsure
from tests.support.scored_versions import current_and_better, register_tested
from triagem.contracts.prediction import AbstainReason, Band
from triagem.contracts.ticket import Lane
from triagem.db import Database, runs, training_jobs
from triagem.db.audit import Action, Actor, record
from triagem.db.auth import Scope
from triagem.db.outbox.alerts import ALERT_KINDS, raise_alert
from triagem.db.runs import RunPlan
from triagem.db.tickets import dead_letters
from triagem.db.tickets.window import write_window
from triagem.db.training_jobs import JobKind
from triagem.gateway.console.messages import MESSAGES
from triagem.inbox import Inbox
from triagem.inbox.lease import AT_WORK, Lease, lease_key, list_workers
from triagem.inbox.webhook_counts import WebhookCounts
from triagem.notify.alert_messages import system_alert_detail
from triagem.ops.invalid_files import record_problem

NOW = datetime.now(UTC)
REGISTRY_PROBLEM = "the registry has no current version: check TRIAGEM_REGISTRY_URL; v1.0.0 keeps running"
PAGES = ("overview", "start", "preflight", "review", "tickets", "ticket?source=zendesk&id=1", "models", "operations")
# What people and machines have written: labels, sources, ids, versions, actors, times, and the languages' codes.
DATA = re.compile(
    r"suporte|venda|estorno|zendesk|text \S+|v\d\.\d\.\d|key \d+|ana|testclient|Triagem|EN|PT|UTC"
    r"|run \d+|training \d+|ticket|console|dead letter \d+|webhook:zendesk|→|none|und|Tickets|import|pt|\d\S*"
)
SAME = {english for english, portuguese in MESSAGES.values() if english == portuguese}


# Numbers and dates as the other language writes them. 1.234 and 1,234 exist in both.
FOREIGN = {
    "pt": re.compile(r"\b0\.\d|\d\.\d{1,2}(?!\d)|\d{4}-\d\d-\d\d|\b\d\d-\d\d \d"),
    "en": re.compile(r"\b0,\d|\d,\d{1,2}(?!\d)|\d\d/\d\d/\d{4}"),
}
NO_NUMBER = re.compile(r"v\d+\.\d+\.\d+|\d+\.\d+\.\d+\.\d+")  # versions, addresses


class Texts(HTMLParser):
    """The texts that a reader of the page sees or hears, except the names of the languages."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts = set[str]()
        self.figures = set[str]()
        self._languages: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs) if tag != "html" else {}
        if tag not in {"meta", "link", "input", "br"}:
            other = tag in {"style", "script"} or (tag == "a" and "lang" in values)
            self._languages.append("en" if other else self._language)
        for name in ("title", "aria-label", "placeholder"):
            self.handle_data(values.get(name) or "")

    def handle_endtag(self, tag: str) -> None:
        self._languages.pop()

    def handle_data(self, data: str) -> None:
        if self._language != "en" and re.search(r"[^\W\d_]{2}", data):
            self.texts.add(" ".join(data.split()))
        if self._language != "en" and re.search(r"\d", data):
            self.figures.add(" ".join(NO_NUMBER.sub("", data).split()))

    @property
    def _language(self) -> str:
        return self._languages[-1] if self._languages else ""


@pytest.fixture
def admin(database: Database, inbox: Inbox, tmp_path: Path) -> Person:
    """An administrator of an installation in which everything that a page can show has happened."""
    registry = current_and_better(tmp_path / "models")
    register_tested(registry, wrong=range(200), report=report().model_dump_json())
    results = [
        sure("1"),
        *(unsure(f"3{n}", reason=reason, band=Band.ABSTAIN) for n, reason in enumerate(AbstainReason)),
    ]
    write_window(database, [*results, unsure("2")])
    lease = Lease(inbox.redis, 60)
    lease.acquire()
    lease.report_state(AT_WORK)
    lease.report_state(f"{AT_WORK}: {REGISTRY_PROBLEM}")
    dead_letters.insert_dead_letter(database, Lane.BULK, b"1-0", b"{", "the payload is not JSON")
    dead_letters.insert_webhook_dead_letter(database, "zendesk", b"{", "body: is not JSON (Extra data, character 1)")
    dead_letters.insert_webhook_dead_letter(database, "zendesk", b"{", unreadable(b'{"id": 1 "text": 2}', FRESHDESK))
    without_text = {"freshdesk_webhook": {"ticket_id": "11"}}
    dead_letters.insert_webhook_dead_letter(database, "zendesk", b"{", unreadable(without_text, FRESHDESK))
    WebhookCounts(inbox.redis).record_ignored("zendesk", "a private comment")
    record_problem(inbox.redis, "TRIAGEM_ALERTS_FILE", "alerts.toml [rules.a] channels: must be a list, in brackets")
    run = runs.start(database, RunPlan("v1.1.0", 1, shadow=True))
    runs.cancel(database, run.id, "v1.1.0 was promoted")
    for kind in ALERT_KINDS:
        detail = system_alert_detail(kind, "open", 0.5, 0.2, since=NOW, now=NOW)
        raise_alert(database, kind, "1", detail | {"version": "v1.0.0", "trigger": "drift"})
    for action in get_args(Action):
        for outcome in ("done", "refused", "not found"):
            record(database, Actor("key 1 (ana)"), action, "console", outcome)
    for kind in JobKind:
        job, _ = training_jobs.request(database, kind, requested_by="ana", parameters={"upload": 1})
        training_jobs.claim(database, "trainer", lease_s=60)
        training_jobs.fail(database, job.id, "trainer", "it took longer than 72 hours (TRIAGEM_TRAINER_MAX_HOURS)")
    person = Person(services(database, inbox, models=registry.root), Scope.ADMIN)
    for name in ("suporte", "venda"):
        person.send("start/label", person.see("start"), name=name)
    return person


@pytest.mark.parametrize("path", [*PAGES, "model?version=v1.1.0", "model?version=v1.2.0", "nowhere"])
def test_a_page_in_portuguese_has_no_english(admin: Person, path: str) -> None:
    separator = "&" if "?" in path else "?"
    pages = {lang: admin.http.get(f"/console/{path}{separator}lang={lang}") for lang in ("en", "pt")}
    assert {page.status_code for page in pages.values()} == {404 if path == "nowhere" else 200}
    shown = {lang: Texts(page.text).texts for lang, page in pages.items()}
    shared = shown["en"] & shown["pt"] - SAME

    words = {text for text in shared if re.search(r"[^\W\d_]{2}", DATA.sub("", text))}
    assert words == set()
    assert shown["en"] - shown["pt"]


@pytest.mark.parametrize("path", [*PAGES, "model?version=v1.1.0", "model?version=v1.2.0"])
@pytest.mark.parametrize("lang", ["en", "pt"])
def test_numbers_and_dates_are_written_as_in_the_pages_language(admin: Person, path: str, lang: str) -> None:
    page = admin.http.get(f"/console/{path}{'&' if '?' in path else '?'}lang={lang}").text

    assert {text for text in Texts(page).figures if FOREIGN[lang].search(text)} == set()


@pytest.mark.parametrize("kind", JobKind)
def test_the_start_page_names_a_queued_and_a_running_job(admin: Person, database: Database, kind: JobKind) -> None:
    training_jobs.request(database, kind, requested_by="ana", parameters={"upload": 2})

    page = admin.see("start")

    assert any(message in page for message in MESSAGES[f"queued_{kind}"])
    training_jobs.claim(database, "trainer", lease_s=60)
    page = admin.see("start")
    assert any(message in page for message in MESSAGES[f"running_{kind}"])


def test_an_unexpected_error_is_a_page_in_the_readers_language(
    admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triagem.gateway.console.overview.recent_tickets", None)
    browser = TestClient(admin.http.app, raise_server_exceptions=False, cookies=admin.http.cookies)

    response = browser.get("/console/overview?lang=pt")

    assert response.status_code == 500
    assert "Erro interno: o log do gateway indica o motivo." in response.text
    assert response.headers["Content-Security-Policy"]


def test_a_silent_worker_is_shown_in_portuguese(admin: Person, inbox: Inbox) -> None:
    for worker in list_workers(inbox.redis):
        inbox.redis.pexpire(lease_key(worker.name), worker.lease_ms // 10)

    page = admin.see("overview", lang="pt")

    assert "<li>sem sinal de vida: visto pela última vez há 54 s</li>" in page
