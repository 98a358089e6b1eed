"""The console: logins, pages, and the effect of a reviewer's decisions."""

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from httpx2 import Response
from sqlalchemy import text
from starlette.testclient import TestClient

from tests.support.builders import ticket
from tests.support.console import Person
from tests.support.gateway import services
from tests.support.reviewing import NOW, sure, unsure
from tests.support.windows import doubtful
from triagem.contracts.language import UNDETERMINED
from triagem.contracts.prediction import AbstainReason
from triagem.contracts.ticket import Identity, Lane
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.db.audit import list_audit
from triagem.db.auth import Scope, create_key, revoke_key
from triagem.db.labels import MAX_LABEL_CHARS
from triagem.db.retention import purge_texts
from triagem.db.reviews import record_review
from triagem.db.reviews.agreed_labels import Exclusion, labelled_examples
from triagem.db.tickets.dead_letters import insert_dead_letter
from triagem.db.tickets.queries import find_ticket_with_history
from triagem.db.tickets.window import write_window
from triagem.gateway import request_middleware
from triagem.gateway.app import create_app
from triagem.gateway.services import Services
from triagem.inbox import Inbox, connect
from triagem.producer.crm import load_crm_file

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


@pytest.fixture
def opened(database: Database, inbox: Inbox, instant_models: Path) -> Services:
    return services(database, inbox, models=instant_models)


@pytest.fixture
def ana(opened: Services) -> Person:
    return Person(opened, Scope.READ, Scope.REVIEW)


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of the page's last form."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))


def effective_label(database: Database, name: str) -> str:
    detail = find_ticket_with_history(database, "zendesk", name)
    assert detail
    return str(detail.ticket["label"])


def log_in(opened: Services, headers: dict[str, str]) -> Response:
    """Log in with a new key and these headers."""
    _, secret = create_key(opened.database, "ana", [Scope.READ])
    http = TestClient(create_app(opened))
    return http.post("/console/login", data={"key": secret}, headers=headers, follow_redirects=False)


class TestLogin:
    def test_a_page_asks_for_a_login_and_continues_to_the_requested_page(self, opened: Services) -> None:
        http = TestClient(create_app(opened))
        redirect = http.get("/console/tickets?label=venda", follow_redirects=False)
        assert redirect.status_code == 303
        assert redirect.headers["location"] == "/console/login?next=%2Fconsole%2Ftickets%3Flabel%3Dvenda"
        _, secret = create_key(opened.database, "ana", [Scope.READ])
        login_response = http.post("/console/login", data={"key": secret, "next": "/console/tickets?label=venda"})
        assert (login_response.status_code, str(login_response.url)) == (
            200,
            "http://testserver/console/tickets?label=venda",
        )

    @pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "/console"])
    def test_a_login_redirects_to_no_other_host(self, opened: Services, elsewhere: str) -> None:
        http = TestClient(create_app(opened))
        _, secret = create_key(opened.database, "ana", [Scope.READ])
        login_response = http.post("/console/login", data={"key": secret, "next": elsewhere}, follow_redirects=False)
        assert login_response.headers["location"] == "/console/"

    def test_the_cookie_is_same_site_and_http_only_and_holds_no_secret(self, ana: Person) -> None:
        cookie = ana.login_response.history[0].headers["set-cookie"]
        assert "HttpOnly; Max-Age=43200; Path=/console; SameSite=strict" in cookie
        assert ana.secret not in cookie

    @pytest.mark.parametrize(
        ("headers", "secure"),
        [
            ({"Origin": "https://testserver"}, True),
            ({"Origin": "http://testserver"}, False),
            ({"X-Forwarded-Proto": "https"}, False),
        ],
    )
    def test_the_cookie_is_secure_if_the_browser_says_that_the_page_is_encrypted(
        self, opened: Services, headers: dict[str, str], secure: bool
    ) -> None:
        answer = log_in(opened, headers)
        assert ("Secure" in answer.headers["set-cookie"]) == secure

    @pytest.mark.parametrize(
        "headers",
        [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "["}, {"Sec-Fetch-Site": "same-site"}],
    )
    def test_a_login_form_of_another_site_is_refused(self, opened: Services, headers: dict[str, str]) -> None:
        answer = log_in(opened, headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers

    def test_a_second_login_in_a_browser_ends_the_first_session(self, ana: Person, opened: Services) -> None:
        first = dict(ana.http.cookies)
        ana.http.post("/console/login", data={"key": ana.secret})
        assert ana.http.get("/console/tickets").status_code == 200
        old = TestClient(create_app(opened), cookies=first)
        assert old.get("/console/tickets", follow_redirects=False).status_code == 303

    def test_a_key_has_at_most_five_sessions_and_the_oldest_end(self, ana: Person, opened: Services) -> None:
        others = [TestClient(create_app(opened)) for _ in range(5)]
        for http in others:
            http.post("/console/login", data={"key": ana.secret})
        assert ana.http.get("/console/tickets", follow_redirects=False).status_code == 303
        assert [http.get("/console/tickets").status_code for http in others] == [200] * 5

    def test_a_session_that_is_not_used_for_an_hour_ends_and_each_use_renews_it(
        self, ana: Person, database: Database
    ) -> None:
        for minutes, status in ((59, 200), (59, 200), (61, 303)):
            with database.autocommit() as connection:
                connection.execute(
                    text("UPDATE console_sessions SET used_at = used_at - make_interval(mins => :minutes)"),
                    {"minutes": minutes},
                )
            assert ana.http.get("/console/tickets", follow_redirects=False).status_code == status

    def test_an_unknown_key_is_refused_with_the_reason(self, opened: Services) -> None:
        answer = TestClient(create_app(opened)).post("/console/login", data={"key": "trg_wrong"})
        assert answer.status_code == 401
        assert "unknown or was revoked" in answer.text
        assert "trg_wrong" not in answer.text

    def test_a_key_that_may_only_enqueue_cannot_log_in(self, opened: Services) -> None:
        assert Person(opened, Scope.ENQUEUE).login_response.status_code == 401

    def test_a_revoked_key_ends_its_session_at_once(self, ana: Person, database: Database) -> None:
        revoke_key(database, ana.key.id)
        assert ana.http.get("/console/tickets", follow_redirects=False).status_code == 303

    @pytest.mark.parametrize("forged", ["", "x", "..", "1.99999999999.aa", "1.x.", "é.é.é"])
    def test_a_forged_cookie_is_ignored(self, opened: Services, forged: str) -> None:
        headers = [(b"Cookie", f"triagem_session={forged}".encode())]
        answer = TestClient(create_app(opened)).get("/console/tickets", headers=headers, follow_redirects=False)
        assert answer.status_code == 303

    def test_several_gateways_share_sessions(self, ana: Person, opened: Services) -> None:
        other = TestClient(create_app(opened), cookies=dict(ana.http.cookies))
        assert other.get("/console/tickets").status_code == 200

    def test_logging_out_ends_the_session_in_every_browser(self, ana: Person, opened: Services) -> None:
        other = TestClient(create_app(opened), cookies=dict(ana.http.cookies))
        assert "Your API key" in ana.send("logout", ana.see("tickets"))
        for http in (ana.http, other):
            assert http.get("/console/tickets", follow_redirects=False).status_code == 303

    def test_an_answer_after_the_end_of_the_session_leads_back_to_its_page_and_is_called_not_saved(
        self, ana: Person, database: Database
    ) -> None:
        write_window(database, [unsure("1"), unsure("2")])
        page = ana.see("review")
        ana.http.headers["Referer"] = "http://testserver/console/review?source=zendesk&message=saved&about=venda"
        ana.http.cookies.clear()

        page = ana.send("review", page, label="venda")

        assert "Your session has ended. Your last answer or change was not saved." in page
        login = ana.http.post("/console/login", data={"next": fields_of(page)["next"], "key": ana.secret})
        assert str(login.url) == "http://testserver/console/review?source=zendesk"

    @pytest.mark.parametrize("referrer", ["", "https://evil.example//evil.example", "http://["])
    def test_a_form_without_a_session_leads_to_no_other_host(self, opened: Services, referrer: str) -> None:
        http = TestClient(create_app(opened), headers={"Referer": referrer})
        _, secret = create_key(opened.database, "ana", [Scope.READ])
        form = fields_of(http.post("/console/review", data={}).text)
        login = http.post("/console/login", data={**form, "key": secret}, follow_redirects=False)
        assert login.headers["location"] == "/console/"

    def test_a_session_expires(self, ana: Person, database: Database) -> None:
        with database.autocommit() as connection:
            connection.execute(text("UPDATE console_sessions SET ends_at = now()"))
        assert ana.http.get("/console/tickets", follow_redirects=False).status_code == 303

    def test_the_database_holds_no_token(self, ana: Person, database: Database) -> None:
        with database.autocommit() as connection:
            stored = str(connection.execute(text("SELECT * FROM console_sessions")).all())
        assert ana.http.cookies["triagem_session"] not in stored


class TestForms:
    def test_a_form_without_the_sessions_token_is_refused(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("1")])
        fields = {"source": "zendesk", "id": "1", "label": "suporte", "digest": b"text 1".hex()}
        for token in ("", "0" * 64, "é"):
            assert ana.http.post("/console/ticket", data={**fields, "token": token}).status_code == 403
        assert effective_label(database, "1") == "venda"

    def test_a_cross_site_form_is_refused(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("1")])
        page = ana.see("ticket", source="zendesk", id="1")
        ana.http.headers["Sec-Fetch-Site"] = "cross-site"
        with pytest.raises(AssertionError, match="another session"):
            ana.send("ticket", page, label="suporte")

    def test_a_read_only_key_corrects_nothing(self, opened: Services, database: Database) -> None:
        write_window(database, [sure("1")])
        reader = Person(opened, Scope.READ)
        page = reader.see("ticket", source="zendesk", id="1")
        assert 'action="/console/ticket"' not in page
        token = page.split('name="token" value="')[1][:64]
        answer = reader.http.post("/console/ticket", data={"token": token})
        assert answer.status_code == 403
        assert "does not allow this. To use another key, log out" in answer.text
        assert ("Back to the console" in answer.text, "Try again" in answer.text) == (True, False)
        assert '<a href="/console/models">' in answer.text
        assert '<span class="who">ana</span>' in answer.text


class TestTickets:
    def test_they_come_newest_first_with_a_preview(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("old"), sure("new", received_at=NOW.replace(year=NOW.year + 1))])
        page = ana.see("tickets")
        assert page.index("text new") < page.index("text old")

    def test_a_purged_text_is_named_in_place_of_the_preview(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("1")])
        list(purge_texts(database, before=datetime.now(UTC)))
        assert "(text purged)" in ana.see("tickets")
        assert "(texto apagado)" in ana.see("tickets", lang="pt")

    def test_an_unclear_verdict_is_not_shown_as_the_reviewers_label(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("1"), sure("2")])
        record_review(database, Identity("zendesk", "1"), None, "bia")
        record_review(database, Identity("zendesk", "2"), "venda", "rui")

        for page in (ana.see("tickets"), ana.see("ticket", source="zendesk", id="1")):
            assert "by the model; bia: can&#39;t tell" in page
            assert "by bia" not in page
        assert "by rui" in ana.see("tickets")
        assert "do modelo; bia: não dá para saber" in ana.see("tickets", lang="pt")

    def test_a_reviewed_ticket_does_not_need_review_any_more(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure("reviewed"), unsure("unclear")])
        record_review(database, Identity("zendesk", "reviewed"), "venda", "rui")
        record_review(database, Identity("zendesk", "unclear"), None, "rui")

        reviewed, unclear = (ana.see("tickets", q=name).partition("<tbody>")[2] for name in ("reviewed", "unclear"))

        assert (">Reviewed<" in reviewed, ">Needs review<" in reviewed) == (True, False)
        assert (">Reviewed<" in unclear, ">Needs review<" in unclear) == (False, True)
        result, _, history = ana.see("ticket", source="zendesk", id="reviewed").partition('id="h-history"')
        assert (">Reviewed<" in result, ">Needs review<" in result) == (True, False)
        assert ">Needs review<" in history  # the band of the version's prediction
        assert 'name="reviewed"><option value="">todos</option>' in ana.see("tickets", lang="pt")

    def test_filters_are_in_the_url_and_in_the_form(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("sold"), sure("helped", label="suporte"), unsure("unsure", source="chatwoot")])
        page = ana.see("tickets", label="venda", source="chatwoot ", band="review")
        assert "text unsure" in page
        assert "text sold" not in page
        assert '<option value="venda" selected>venda</option>' in page
        assert 'value="chatwoot"' in page

    def test_days_of_the_filter_and_times_are_in_the_time_zone_that_the_page_names(
        self, ana: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        late = datetime(2026, 12, 1, 1, 30, tzinfo=UTC)  # still November in São Paulo
        write_window(database, [sure("late", received_at=late)])

        assert "text late" in ana.see("tickets", since="2026-12-01")
        assert ">2026-12-01 01:30<" in ana.see("tickets")
        assert "Time zone: UTC<" in ana.see("tickets")

        monkeypatch.setenv("TRIAGEM_TIMEZONE", "America/Sao_Paulo")
        assert "text late" not in ana.see("tickets", since="2026-12-01")
        page = ana.see("tickets", until="2026-12-01", since="0001-01-01", lang="pt")
        assert ">30/11/2026 22:30<" in page
        assert 'value="2026-12-01"' in page
        assert "Fuso horário: America/Sao_Paulo<" in page

    def test_tickets_are_filtered_by_their_reviews(self, ana: Person, database: Database) -> None:
        tickets = ("untouched", "agreed", "disputed", "decided", "unclear", "hers")
        write_window(database, [sure(name) for name in tickets])
        for name, reviewer, label in (
            ("agreed", "rui", "venda"), ("agreed", "eva", "venda"), ("disputed", "rui", "venda"),
            ("disputed", "eva", "venda"), ("disputed", "eva", "suporte"), ("hers", "ana", "suporte"),
            ("decided", "rui", "venda"), ("decided", "eva", "suporte"), ("decided", "bia", "suporte"),
            ("unclear", "rui", "venda"), ("unclear", "eva", None),
        ):  # fmt: skip
            record_review(database, Identity("zendesk", name), label, reviewer)
        shown = {
            state: {name for name in tickets if f"text {name}" in page}
            for state in ("reviewed", "open", "disputed", "mine")
            if (page := ana.see("tickets", reviewed=state))
        }
        assert shown == {
            "reviewed": {*tickets} - {"untouched"}, "open": {"untouched"}, "disputed": {"disputed"}, "mine": {"hers"},
        }  # fmt: skip
        exported = Counter(each for each in labelled_examples(database) if isinstance(each, Exclusion))
        assert exported == {Exclusion.DISPUTED: 1, Exclusion.UNCLEAR: 1}
        notes = {name for name in tickets if "Disputed:" in ana.see("ticket", source="zendesk", id=name)}
        assert notes == {"disputed"}

    def test_the_address_bar_finds_a_ticket_by_a_part_of_its_id(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("INC-004711"), unsure("INC-88")])
        for path in ("tickets?q=4711", "ticket?id=4711"):
            page = ana.http.get(f"/console/{path}").text
            assert "text INC-004711" in page
            assert "text INC-88" not in page
        assert '<span class="chip band-review">Needs review</span>' in ana.see("tickets", q="INC-88")

    def test_the_language_filters_tickets_and_is_on_the_tickets_page(self, ana: Person, database: Database) -> None:
        spanish = sure("spanish", detected="es", reason=AbstainReason.OTHER_LANGUAGE)
        write_window(database, [sure("en"), sure("short", detected=UNDETERMINED), spanish])
        page = ana.see("tickets", language="ES")
        assert "text spanish" in page
        assert "text en" not in page
        assert "written in a language that the model did not learn" in page
        ticket = ana.see("ticket", source="zendesk", id="spanish")
        assert "<dt>Language</dt><dd>es</dd>" in ticket
        assert 'und <span class="dim">(unknown)</span>' in ana.see("ticket", source="zendesk", id="short")
        assert "written in a language that the model did not learn" in ticket

    def test_the_next_page_is_found_by_cursor_and_keeps_the_filters(
        self, ana: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("triagem.gateway.console.tickets._PAGE_SIZE", 2)
        write_window(database, [sure(str(number)) for number in range(3)])
        page = ana.see("tickets", label="venda")
        next_url = page.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
        assert "label=venda" in next_url
        rest = ana.http.get(next_url).text
        assert page.count('class="preview"') + rest.count('class="preview"') == 3
        assert 'rel="next"' not in rest

    def test_the_filtered_list_is_downloaded_as_csv(
        self, ana: Person, opened: Services, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("triagem.gateway.console.tickets._CSV_PAGE_SIZE", 2)
        write_window(database, [*(sure(str(number)) for number in range(5)), sure("helped", label="suporte")])
        for query, names in (({"label": "venda"}, {*"01234"}), ({"q": "helped"}, {"helped"})):
            link = re.search(r'href="(/console/tickets\.csv[^"]*)"', ana.see("tickets", **query))
            assert link
            answer = ana.http.get(link[1].replace("&amp;", "&"))
            assert answer.content.startswith(b"\xef\xbb\xbfticket_id,source,external_id,")
            assert {line.split(",")[2] for line in answer.text.splitlines()[1:]} == names
        assert 'filename="tickets.csv"' in answer.headers["content-disposition"]
        assert ana.http.get("/console/tickets.csv?since=x").status_code == 422
        stranger = TestClient(create_app(opened))
        assert "login" in str(stranger.get("/console/tickets.csv").url)

    @pytest.mark.parametrize(
        ("lang", "query", "reason"),
        [
            ("en", {"since": "2026-13-01"}, "From &#39;2026-13-01&#39;: this day is not in the calendar"),
            ("en", {"since": "2026-1-011"}, "From &#39;2026-1-011&#39;: expected a date like 2026-11-02"),
            ("pt", {"since": "31/02/2026"}, "De &#39;31/02/2026&#39;: este dia não existe no calendário"),
            ("pt", {"until": "ontem"}, "Antes de &#39;ontem&#39;: use uma data como 02/11/2026"),
            ("en", {"since": "02/11/2026"}, "From &#39;02/11/2026&#39;: expected a date like 2026-11-02"),
            ("en", {"band": "none"}, "Band &#39;none&#39;: expected one of automate, review, abstain"),
            (
                "pt",
                {"reviewed": "no"},
                "Revisão &#39;no&#39;: use um destes valores: reviewed, open, disputed, mine",
            ),
            ("pt", {"q": "a" * 256}, '<p class="dim">Buscar: tem mais de 255 caracteres'),
            ("pt", {"until": "a" * 256}, '<p class="dim">Antes de: tem mais de 255 caracteres'),
        ],
    )
    def test_a_filter_that_cannot_be_read_is_named(
        self, ana: Person, lang: str, query: dict[str, str], reason: str
    ) -> None:
        response = ana.http.get("/console/tickets", params={"lang": lang, **query})
        assert response.status_code == 422
        assert reason in response.text
        whole = {
            "en": "The address has a value that cannot be used.",
            "pt": "O endereço tem um valor que não pode ser",
        }
        assert whole[lang] in response.text

    def test_a_reader_of_portuguese_may_write_the_day_first(self, ana: Person) -> None:
        assert 'name="since" type="date" value="2026-11-02"' in ana.see("tickets", lang="pt", since="02/11/2026")

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("ticket?source=a&skip=x&lang=en", "The address&#39;s parameter skip: must be a whole number"),
            ("ticket?source=a&skip=x&lang=pt", "Parâmetro skip do endereço: precisa ser um número inteiro"),
            ("model?lang=pt", "Versão não encontrada."),
            (f"ticket?source=a&id={'1' * 256}&lang=pt", '<p class="dim">ID: tem mais de 255 caracteres'),
            (f"ticket?source={'a' * 99}&id=1&lang=pt", '<p class="dim">origem: tem mais de 64 caracteres'),
            ("report?lang=en", "Version not found."),
        ],
    )
    def test_an_address_that_cannot_be_used_is_explained_in_words(self, ana: Person, path: str, reason: str) -> None:
        assert reason in ana.http.get(f"/console/{path}").text

    def test_a_parameter_that_the_page_does_not_read_is_named(self, ana: Person) -> None:
        page = ana.see("tickets", lable="venda", label="venda", lang="en", message="undone", utm_source="mail")

        assert "Parameters that this page does not know: lable, utm_source<" in page
        assert "does not know" not in ana.see("tickets", label="venda")

    def test_without_results_and_filters_no_search_is_blamed(self, ana: Person) -> None:
        assert "No ticket has a result yet." in ana.see("tickets")
        assert "No matching tickets." in ana.see("tickets", source="zendesk")

    def test_an_invalid_cursor_is_422(self, ana: Person) -> None:
        assert ana.http.get("/console/tickets", params={"after": "x"}).status_code == 422


class TestTicket:
    def test_a_correction_is_the_effective_label_everywhere_at_once(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("1")])
        page = ana.send("ticket", ana.see("ticket", source="zendesk", id="1"), label="suporte")
        assert "Saved: suporte" in page
        assert effective_label(database, "1") == "suporte"
        assert "text 1" in ana.see("tickets", label="suporte")

    def test_a_text_that_changed_meanwhile_is_shown_again_and_not_labelled(
        self, ana: Person, database: Database
    ) -> None:
        write_window(database, [sure("1")])
        page = ana.see("ticket", source="zendesk", id="1")
        write_window(database, [sure("1", text="another", revised_at=NOW)])
        page = ana.send("ticket", page, label="suporte")
        assert "customer has changed this text" in page
        assert "another" in page
        assert effective_label(database, "1") == "venda"

    def test_a_ticket_that_waits_or_failed_is_not_called_unknown(
        self, ana: Person, opened: Services, database: Database
    ) -> None:
        opened.inbox.put(Lane.LIVE, [encode(ticket(external_id="77"))])
        insert_dead_letter(database, Lane.LIVE, b"1-0", encode(ticket(external_id="4711")), "the model failed")
        assert "has been waiting in the inbox since" in ana.see("ticket", source="zendesk", id="77")
        assert "aguarda na fila desde" in ana.see("ticket", source="zendesk", id="77", lang="pt")
        assert "could not be processed" in ana.see("ticket", source="zendesk", id="4711", lang="en")
        assert ana.http.get("/console/ticket?source=zendesk&id=7").status_code == 404

    def test_what_the_model_does_not_read_is_shown_in_grey(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("1", text="Boleto\nNão chegou.\n\nAtt,\nAna <b>Lima</b>")])
        page = ana.see("ticket", source="zendesk", id="1")
        assert "Boleto\nNão chegou." in page
        assert '<span class="removed" title="Signature: not read by the model">Att,\nAna Lima</span>' in page

    def test_an_id_may_contain_any_character(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("a/b?c=d&e#f\ng%2F")])
        listed = ana.see("tickets")
        link = listed.split('<a href="/console/ticket?')[1].split('"')[0].replace("&amp;", "&")
        assert "text a/b?c=d&amp;e#f" in ana.http.get(f"/console/ticket?{link}").text

    def test_it_links_to_the_ticket_in_the_crm(
        self, database: Database, inbox: Inbox, instant_models: Path, tmp_path: Path
    ) -> None:
        file = tmp_path / "crm.toml"
        file.write_text(
            '[zendesk]\ntoken = "0123456789abcdef0"\nticket_url = "https://crm.example/t/{id}?a=1"\n',
            encoding="utf-8",
        )
        configured = services(database, inbox, models=instant_models, crm=load_crm_file(file))
        write_window(database, [sure("a/1"), sure("2", metadata={"url": "https://crm.example/2"}), sure("3")])
        reader = Person(configured, Scope.READ)
        assert 'href="https://crm.example/t/a%2F1?a=1"' in reader.see("ticket", source="zendesk", id="a/1")
        assert 'href="https://crm.example/2"' in reader.see("ticket", source="zendesk", id="2")

    def test_an_unknown_ticket_is_404(self, ana: Person) -> None:
        answer = ana.http.get("/console/ticket", params={"source": "zendesk", "id": "1"})
        assert answer.status_code == 404
        assert "Ticket not found" in answer.text
        version = ana.http.get("/console/model", params={"version": "v9.9.9", "lang": "pt"})
        assert version.status_code == 404
        assert "Versão não encontrada." in version.text

    def test_the_most_probable_label_comes_first(self, ana: Person, database: Database) -> None:
        ticket = sure("1")
        shares = replace(ticket.prediction, probabilities={"suporte": 0.9, "venda": 0.1})
        write_window(database, [replace(ticket, prediction=shares)])
        page = ana.see("ticket", source="zendesk", id="1")
        assert page.index("suporte&nbsp;90.0%") < page.index("venda&nbsp;10.0%")

    def test_a_text_without_a_time_is_shown_as_received_only(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("1", revised_at=NOW), sure("2", revised_at=NOW - timedelta(days=1))])
        assert "Written" not in ana.see("ticket", source="zendesk", id="1")
        assert "Written" in ana.see("ticket", source="zendesk", id="2")


class TestReview:
    def test_it_shows_the_text_and_nothing_of_the_prediction(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure("1", confidence=0.5612)])
        page = ana.see("review")
        assert "text 1" in page
        for hidden in ("56.1", "0.56", "v1.0.0", "automate", "Needs review"):
            assert hidden not in page.split("<main")[1]

    def test_each_answer_has_a_key_and_leads_to_the_next_text(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure("1", 0.5), unsure("2", 0.6)])
        page = ana.see("review")
        for key in ("s", "v", "u", "Space", "?"):
            assert f'data-key="{key}"' in page
        first, second = ("1", "2") if "text 1" in page else ("2", "1")
        page = ana.send("review", page, label="suporte")
        assert f"text {second}" in page
        assert 'data-key="b"' in page
        assert effective_label(database, first) == "suporte"
        page = ana.send("review", page, action="unclear")
        assert "No more texts" in page
        assert "Saved: can&#39;t tell" in page or "Saved: can't tell" in page
        assert "Show the skipped ones" not in page

    def test_skipped_texts_are_offered_again_when_no_other_is_left(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure("1", 0.5)])

        page = ana.send("review", ana.see("review"), action="skip")

        assert '<a href="/console/review">Show the skipped ones again</a>' in page

    def test_the_queue_is_chosen_by_source_language_and_label_and_counted(
        self, ana: Person, database: Database
    ) -> None:
        write_window(database, [
            unsure("1", 0.5), unsure("2", 0.6, source="chatwoot", detected="pt"),
            unsure("3", 0.65, source="chatwoot", detected="es"),
            unsure("4", 0.66, source="chatwoot", detected="pt", label="suporte"),
        ])  # fmt: skip
        for queue, shown in (
            ({"source": " chatwoot "}, ("2",)), ({"language": "es"}, ("3",)), ({"label": "suporte"}, ("4",)),
            ({"source": "chatwoot", "language": "pt", "label": "venda"}, ("2",)), ({"source": "none"}, ()),
        ):  # fmt: skip
            page = ana.see("review", **queue)
            assert ("mixed with a random sample" in page) == (not queue)
            assert ("shows what the model predicted" in page) == ("label" in queue)
            assert f"text {shown[0]}" in page if shown else "No text to review now" in page
        assert "in your queue: 3" in ana.see("review", source="chatwoot")
        page = ana.see("review", language="ES")
        assert 'action="/console/review?language=es"' in page
        page = ana.http.post(
            "/console/review?language=es", data=fields_of(page) | {"action": "", "label": "venda"}
        ).text
        assert "No text to review now" in page
        assert "Texts that you reviewed today: 1" in page

    def test_a_queue_without_texts_is_named_and_can_be_left(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure("1", 0.5)])

        page = ana.see("review", source="<xyz>", label="venda", language="pt")

        named = "Source: &lt;xyz&gt;, Language: pt, Model prediction: venda"
        assert f"No text to review now in the queue “{named}”." in page
        assert '<a href="/console/review">Review all texts</a>' in page
        assert "na fila “Origem: &lt;xyz&gt;”. " in ana.see("review", source="<xyz>", lang="pt")

    def test_a_text_that_is_assigned_to_another_reviewer_is_not_counted(
        self, ana: Person, opened: Services, database: Database
    ) -> None:
        write_window(database, [unsure("1", 0.5), unsure("2", 0.6)])
        rui = Person(opened, Scope.READ, Scope.REVIEW, name="rui")

        assert "in your queue: 2" in ana.see("review")
        assert "in your queue: 1" in rui.see("review")
        assert "na sua fila: 1" in ana.see("review", lang="pt")

    def test_an_alert_about_a_ticket_shows_its_band(self, ana: Person, database: Database) -> None:
        write_window(database, [doubtful()])

        alerts = ana.see("overview").partition("Latest alerts")[2]

        assert '<span class="chip band-review">Needs review</span>' in alerts
        assert '<td class="nowrap">—</td>' in alerts  # not delivered, and without rules it never will be

    def test_guidelines_are_shown_next_to_the_text_and_run_no_code(
        self, ana: Person, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_window(database, [unsure("1")])
        monkeypatch.setenv("TRIAGEM_GUIDELINES_FILE", str(tmp_path / "guia.md"))
        assert "cannot be shown (guia.md: No such file or directory). An administrator" in ana.see("review")
        assert "(guia.md: o arquivo não existe). Um administrador" in ana.see("review", lang="pt")
        (tmp_path / "guia.md").write_bytes(b"cobran\xe7a")
        assert "(guia.md: not UTF-8)" in ana.see("review", lang="en")
        (tmp_path / "guia.md").write_text(f"# Cobrança\n\n**suporte**: {EVIL}\n\n[x](javascript:alert(3))\n")
        page = ana.see("review")
        assert "<h3>Cobrança</h3>" in page
        assert "<strong>suporte</strong>: &lt;script&gt;" in page
        assert "<script>alert" not in page
        assert 'href="javascript' not in page

    def test_a_comment_is_kept_with_the_verdict_until_the_text_is_purged(
        self, ana: Person, database: Database
    ) -> None:
        write_window(database, [unsure("1")])
        ana.send("review", ana.see("review"), label="suporte", comment="  pede\nreembolso  ")
        assert "pede\nreembolso" in ana.see("ticket", source="zendesk", id="1")
        list(purge_texts(database, before=NOW + timedelta(days=9)))
        assert "reembolso" not in ana.see("ticket", source="zendesk", id="1")
        assert effective_label(database, "1") == "suporte"

    def test_a_new_label_is_a_proposal_until_an_administrator_adds_it(
        self, ana: Person, opened: Services, database: Database
    ) -> None:
        write_window(database, [unsure("1")])
        page = ana.see("review")
        answer = ana.http.post(
            "/console/review", data=fields_of(page) | {"action": "propose", "proposal": " reembolso "}
        )
        assert "Proposal saved" in answer.text
        assert effective_label(database, "1") == "venda"
        assert "reembolso" not in ana.see("review")
        assert "proposes: reembolso" in ana.see("ticket", source="zendesk", id="1")
        boss = Person(opened, Scope.ADMIN, name="boss")
        form = boss.see("start").split("Proposed labels")[1]
        assert "texts: 1, reviewers: 1" in form
        for field, shown in (("proposal", page), ("name", boss.see("start"))):
            assert f'name="{field}" required maxlength="{MAX_LABEL_CHARS}"' in shown
        boss.http.post("/console/start/label", data=fields_of(form))
        assert effective_label(database, "1") == "reembolso"
        assert "Proposed labels" not in boss.see("start")

    def test_a_proposal_that_differs_only_in_spelling_is_the_existing_label(
        self, ana: Person, opened: Services, database: Database
    ) -> None:
        write_window(database, [unsure(str(number), confidence=0.5 + number / 100) for number in range(1, 5)])
        answers = []
        for proposal in ("Su\u200bPORTE", "Devolução de  Valor", "devolucao de valor", "devolucao-de-valor"):
            form = fields_of(ana.see("review")) | {"action": "propose", "proposal": proposal}
            answers.append(ana.http.post("/console/review", data=form, headers={"Accept-Language": "pt"}).text)

        assert "Salvo: suporte. Esta categoria já existe." in answers[0]
        assert all("Proposta salva" in answer for answer in answers[1:])
        boss = Person(opened, Scope.ADMIN, name="boss")
        boss.send("start/label", boss.see("start"), name="Devolucao de valor", description="")
        labels = database.rows("SELECT label, count(*) FROM reviews GROUP BY label ORDER BY label")
        assert [tuple(row) for row in labels] == [("Devolução de Valor", 3), ("suporte", 1)]

    def test_an_administrator_rejects_a_proposed_label(
        self, ana: Person, opened: Services, database: Database
    ) -> None:
        write_window(database, [unsure("1")])
        page = ana.see("review")
        ana.http.post("/console/review", data=fields_of(page) | {"action": "propose", "proposal": "reembolso"})
        boss = Person(opened, Scope.ADMIN, name="boss")
        form = fields_of(boss.see("start").split("Proposed labels")[1]) | {"action": "reject"}
        assert ana.http.post("/console/start/label", data=form).status_code == 403
        answer = boss.http.post("/console/start/label", data=form, headers={"Accept-Language": "pt"})
        assert "Proposta rejeitada." in answer.text
        assert "reembolso" not in boss.see("start")
        assert effective_label(database, "1") == "venda"
        boss.http.post("/console/start/label", data=form)
        assert [(entry.object, entry.outcome) for entry in list_audit(database, limit=2, action="label.reject")] == [
            ("reembolso", "not found"), ("reembolso", "done"),
        ]  # fmt: skip
        assert "rejected a label" in boss.see("operations")

    def test_two_reviewers_never_get_the_same_text(self, ana: Person, opened: Services, database: Database) -> None:
        write_window(database, [unsure("1"), unsure("2")])
        rui = Person(opened, Scope.REVIEW, name="rui")
        assert ("text 1" in ana.see("review")) != ("text 1" in rui.see("review"))
        assert ("text 1" in ana.see("review")) != (
            "text 1" in rui.see("review")
        )  # reloading does not change the text

    def test_an_answer_about_a_text_that_changed_meanwhile_is_not_stored_and_the_text_is_free_again(
        self, ana: Person, database: Database
    ) -> None:
        write_window(database, [unsure("1")])
        page = ana.see("review")
        write_window(database, [unsure("1", text="another", revised_at=NOW)])

        page = ana.send("review", page, label="suporte")

        assert "changed the previous text, which comes again" in page
        assert "another" in page
        assert database.scalar_one("SELECT count(*) FROM reviews") == 0

    def test_two_answers_about_one_text_count_once(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure("1")])
        page = ana.see("review")
        ana.send("review", page, label="suporte")

        page = ana.send("review", page, label="venda")  # from a second tab

        assert "Texts that you reviewed today: 1" in page
        assert effective_label(database, "1") == "venda"

    def test_undo_brings_the_text_back(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure("1")])
        page = ana.send("review", ana.see("review"), label="suporte")
        page = ana.send("review", page, action="undo")
        assert "Review undone" in page
        assert "text 1" in page
        assert effective_label(database, "1") == "venda"
        assert 'value="undo"' not in page
        assert "Nothing to undo" in ana.send("review", page, action="undo")

    def test_undo_goes_back_through_the_reviews_of_this_visit_only(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure(str(number), confidence=0.5 + number / 100) for number in range(1, 5)])
        ana.send("review", ana.see("review"), label="suporte")
        page = ana.see("review")
        assert 'value="undo"' not in page
        for _ in range(2):
            page = ana.send("review", page, label="suporte")
        page = ana.send("review", page, action="skip")

        for _ in range(2):
            page = ana.send("review", page, action="undo")
            assert "Review undone" in page

        assert 'value="undo"' not in page
        assert "Nothing to undo" in ana.send("review", page, action="undo")
        assert database.scalar_one("SELECT count(*) FROM reviews") == 1

    def test_nobody_can_undo_the_review_of_another_reviewer(self, ana: Person, database: Database) -> None:
        write_window(database, [sure("1")])
        review = record_review(database, Identity("zendesk", "1"), "suporte", "rui")
        assert "Nothing to undo" in ana.send("review", ana.see("review", given=review), action="undo")

    def test_a_third_reviewer_decides_a_dispute(self, ana: Person, opened: Services, database: Database) -> None:
        write_window(database, [sure("1")])
        record_review(database, Identity("zendesk", "1"), "venda", "rui")
        record_review(database, Identity("zendesk", "1"), "suporte", "eva")
        assert "text 1" in ana.see("review")
        assert "text 1" not in Person(opened, Scope.REVIEW, name="ivo").see("review")
        ana.send("review", ana.see("review"), label="venda")
        assert effective_label(database, "1") == "venda"

    def test_a_skipped_text_does_not_come_again_at_once(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure("1", 0.5), unsure("2", 0.6)])
        first = ana.see("review")
        second = ana.send("review", first, action="skip")
        assert ("text 1" in first) != ("text 1" in second)
        assert "No more texts" in ana.send("review", second, label="venda")
        assert "No more texts" not in ana.see("review")

    def test_a_skipped_text_goes_to_somebody_else(self, ana: Person, opened: Services, database: Database) -> None:
        write_window(database, [unsure("1")])
        page = ana.see("review")
        rui = Person(opened, Scope.REVIEW, name="rui")
        assert "text 1" not in rui.see("review")
        assert "text 1" not in ana.send("review", page, action="skip")
        assert "text 1" in rui.see("review")

    def test_a_disputed_text_is_free_for_a_third_reviewer_at_once(
        self, ana: Person, opened: Services, database: Database
    ) -> None:
        write_window(database, [unsure("1")])
        ana.send("review", ana.see("review"), label="venda")
        record_review(database, Identity("zendesk", "1"), "suporte", "rui")
        eva = Person(opened, Scope.REVIEW, name="eva")
        page = eva.see("review")
        assert "text 1" in page
        assert "text 1" not in eva.send("review", page, action="skip")
        assert "text 1" in eva.see("review")


class TestEveryPage:
    def test_what_customers_write_is_shown_as_text(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure(EVIL, text=EVIL, source="<b>crm", metadata={EVIL: [EVIL]})])
        for page in (ana.see("tickets"), ana.see("review"), ana.see("ticket", source="<b>crm", id=EVIL)):
            assert "&lt;script&gt;alert(1)" in page
            assert "{{ 7*7 }}" in page
            for raw in ("<script>alert", "<img src=x", "<b>crm"):
                assert raw not in page

    def test_pages_load_nothing_from_elsewhere_and_run_nothing_inline(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure("1")])
        for path in ("tickets", "review", "ticket?source=zendesk&id=1", "login"):
            answer = ana.http.get(f"/console/{path}")
            assert (
                "default-src 'none'; script-src 'self'; style-src 'self'" in answer.headers["content-security-policy"]
            )
            assert answer.headers["cache-control"] == "no-store"
            for forbidden in ("http://", "https://", " style=", " onclick=", "<style", "<script>"):
                assert forbidden not in answer.text.replace("http://www.w3.org", "")

    def test_a_page_with_its_files_weighs_less_than_100_kb(self, ana: Person, database: Database) -> None:
        write_window(database, [unsure(str(number), text="é" * 4000) for number in range(60)])
        page = ana.see("tickets")
        files = {part.split('"')[0] for part in page.split('="/console/static/')[1:]}
        answers = [ana.http.get(f"/console/static/{name}") for name in files]
        assert len(files) >= 3
        assert all("immutable" in answer.headers["cache-control"] for answer in answers)
        assert len(page.encode()) + sum(len(answer.content) for answer in answers) < 100_000

    def test_it_uses_the_browsers_language_or_the_chosen_one(self, ana: Person) -> None:
        answer = ana.http.get("/console/tickets", headers={"Accept-Language": "pt-BR,en;q=0.5"})
        assert '<html lang="pt-BR">' in answer.text
        assert "Sair" in ana.see("tickets", lang="pt")
        assert "Sair" in ana.see("tickets")

    @pytest.mark.parametrize(
        ("lang", "shown", "hidden"),
        [
            ("en", "Postgres does not answer. No data was lost.", "or is busy"),
            ("pt", "O Postgres não", "Postgres does"),
        ],
    )
    def test_with_postgres_unavailable_a_page_says_what_to_do_in_the_readers_language(
        self, inbox: Inbox, lang: str, shown: str, hidden: str
    ) -> None:
        unavailable = Database("postgresql://x:y@127.0.0.1:1/none")
        http = TestClient(create_app(services(unavailable, inbox)))
        answer = http.post("/console/login", params={"lang": lang}, data={"key": "trg_x"})
        assert answer.status_code == 503
        assert shown in answer.text
        assert hidden not in answer.text
        assert '<p><a href="/console/">' in answer.text

    def test_with_redis_unavailable_the_overview_names_it(self, database: Database) -> None:
        gone = Inbox(connect("redis://127.0.0.1:1/0"))
        ana = Person(services(database, gone), Scope.READ)
        for lang, shown in (("en", "Redis does not answer"), ("pt", "O Redis não responde")):
            answer = ana.http.get("/console/overview", params={"lang": lang, "x": "1"})
            assert (answer.status_code, answer.text.count(shown)) == (503, 1)
            assert f'<p><a href="/console/overview?lang={lang}&amp;x=1">' in answer.text

    def test_in_portuguese_wrong_input_is_named_in_portuguese(self, opened: Services) -> None:
        admin = Person(opened, *Scope)
        token = admin.see("tickets").split('name="token" value="')[1][:64]
        answer = admin.http.post("/console/dead-letter", params={"lang": "pt"}, data={"token": token, "id": "x"})
        assert answer.status_code == 422
        assert "Os dados enviados não podem ser usados" in answer.text
        assert '<p class="dim">esta mensagem não processada não existe</p>' in answer.text

    @pytest.mark.parametrize("value", ["\0", "x" * 65, "\u00b2", "9" * 5000, "9" * 19, "\U0001f600" * 300, "%", "-1"])
    def test_any_value_in_a_url_or_form_is_shown_or_refused(self, opened: Services, value: str) -> None:
        admin = Person(opened, *Scope)
        names = [
            "source",
            "id",
            "label",
            "query",
            "model",
            "since",
            "after",
            "skipped",
            "message",
            "count",
            "version",
        ]
        token = admin.see("tickets").split('name="token" value="')[1][:64]
        for path in ("tickets", "ticket", "review", "models", "model", "operations", "overview", "login"):
            for name in names:
                answer = admin.http.get(f"/console/{path}", params={"source": "s", "id": "1", name: value})
                assert answer.status_code in {200, 404, 422}, (path, name)
        for path in ("ticket", "review", "model", "rollback", "dead-letter"):
            fields = dict.fromkeys([*names, "digest", "ticket_id", "action", "rule"], value)
            answer = admin.http.post(f"/console/{path}", data=fields | {"token": token}, follow_redirects=False)
            assert answer.status_code in {303, 404, 413, 422, 503}, path

    def test_a_redirect_does_not_repeat_a_forged_host(self, opened: Services) -> None:
        http = TestClient(create_app(opened), headers={"Host": "evil.example"})
        for path in ("/console", "/console/", "/console/tickets/", "/v1/results/", "/docs/", "/console/static"):
            location = http.get(path, follow_redirects=False).headers.get("location", "/")
            assert location.startswith("/"), path

    def test_an_unknown_page_is_a_404_page(self, ana: Person) -> None:
        answer = ana.http.get("/console/nowhere")
        assert answer.status_code == 404
        assert "Page not found" in answer.text

    def test_the_address_of_a_form_opened_as_a_page_says_so(self, ana: Person) -> None:
        answer = ana.http.get("/console/start/label", params={"lang": "pt"})
        assert answer.status_code == 405
        assert "Este endereço só recebe formulários." in answer.text

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_a_page_that_takes_no_forms_says_so(self, ana: Person, method: str) -> None:
        answer = ana.http.request(method, "/console/overview", params={"lang": "pt"})
        assert answer.status_code == 405
        assert "Este endereço não aceita este tipo de envio." in answer.text

    def test_the_log_has_a_pages_route_and_no_query(
        self, ana: Person, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A new logger: the module's own keeps the configuration of the first test that used it.
        monkeypatch.setattr(request_middleware, "log", structlog.get_logger())
        ana.see("tickets", q="segredo")
        logged = capsys.readouterr().out
        assert "route=/console/tickets" in logged
        assert "segredo" not in logged
