"""One ticket over HTTP: its details, and forgetting it, whatever characters its id contains."""

from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from tests.support.builders import ticket
from tests.support.forgetting import (
    AGENT_WORD,
    CUSTOMER_WORD,
    FORGOTTEN_TEXT,
    all_content,
    conversation_everywhere,
    forgotten_result,
    waiting_payloads,
)
from tests.support.gateway import client, services
from tests.support.results import insert_review, result
from triagem.contracts.ticket import Lane
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.db.auth import Scope
from triagem.db.tickets.dead_letters import insert_dead_letter, insert_task_dead_letter
from triagem.db.tickets.window import write_window
from triagem.gateway.services import Services
from triagem.inbox import Inbox

HOSTILE = [
    "a/b",
    "/a//b/",
    "a%2Fb",
    "a?b#c&d=e",
    "../../etc/passwd",
    "a\nb\r\tc",
    "<script>alert(1)</script>",
    "'; DROP TABLE tickets; --",
    "ação 🎫 \u202e",
    "%",
    "a b+c",
    "history",
]


@pytest.fixture
def opened(database: Database, inbox: Inbox, instant_models: Path) -> Services:
    return services(database, inbox, models=instant_models)


@pytest.fixture
def admin(opened: Services) -> TestClient:
    return client(opened, Scope.ADMIN)


def path(source: str, external_id: str) -> str:
    return f"/v1/tickets/{quote(source, safe='')}/{quote(external_id, safe='')}"


def test_a_ticket_is_shown_with_its_effective_label_history_and_reviews(opened: Services, database: Database) -> None:
    write_window(database, [result("4711", text="A", metadata={"plan": "pro"})])
    write_window(database, [result("4711", text="A", model="v1.1.0", epoch=2, metadata={"plan": "pro"})])
    insert_review(database, "4711", "suporte")
    detail = client(opened, Scope.READ).get("/v1/tickets/zendesk/4711").json()
    assert (detail["text"], detail["metadata"]) == ("A", {"plan": "pro"})
    assert (detail["label"], detail["model_label"], detail["model_version"]) == ("suporte", "venda", "v1.1.0")
    assert {row["model_version"]: row["is_current"] for row in detail["history"]} == {"v1.0.0": False, "v1.1.0": True}
    assert [(review["label"], review["reviewer"]) for review in detail["reviews"]] == [("suporte", "ana")]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_whatever_an_id_contains_its_ticket_is_found_and_comes_back_as_text(
    admin: TestClient, database: Database, hostile: str
) -> None:
    write_window(database, [result(hostile, text=hostile, source="crm/br")])
    detail = admin.get(path("crm/br", hostile)).json()
    assert (detail["source"], detail["external_id"], detail["text"]) == ("crm/br", hostile, hostile)


def test_slashes_of_an_id_need_no_escape(admin: TestClient, database: Database) -> None:
    write_window(database, [result("tickets/4711/", source="crm")])
    assert admin.get("/v1/tickets/crm/tickets/4711/").json()["external_id"] == "tickets/4711/"


@pytest.mark.parametrize("external_id", ["4711", "a/b", "ação 🎫", '"\\'])
@pytest.mark.parametrize("lane", [*Lane])
def test_a_ticket_that_waits_answers_with_its_state_and_no_text(
    admin: TestClient, inbox: Inbox, external_id: str, lane: Lane
) -> None:
    inbox.put(lane, [encode(ticket(external_id="other")), encode(ticket(external_id=external_id, text="Fatura"))])
    detail = admin.get(path("zendesk", external_id)).json()

    assert (detail["state"], detail["external_id"], detail["label"], detail["text"]) == (
        "waiting",
        external_id,
        None,
        None,
    )
    assert admin.get(path("zendesk", "471")).status_code == 404


def test_a_ticket_that_became_a_dead_letter_answers_with_its_state(admin: TestClient, database: Database) -> None:
    insert_dead_letter(database, Lane.LIVE, b"1-0", encode(ticket(external_id="4711")), "the model failed")

    insert_task_dead_letter(database, "task-1", {"source": "zendesk", "external_id": "4712", "body": "A"}, "text")
    assert admin.get(path("zendesk", "4711")).json()["state"] == "failed"
    assert admin.get(path("zendesk", "4712")).json()["state"] == "failed"
    assert admin.get(path("zendesk", "471")).status_code == 404


def test_an_unknown_ticket_is_a_problem_that_does_not_repeat_its_name(admin: TestClient) -> None:
    answer = admin.get("/v1/tickets/crm/secret-name")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret-name" not in answer.text


@pytest.mark.parametrize("name", ["%20", "%20%0A", "x" * 256])
def test_an_invalid_identity_is_refused(admin: TestClient, name: str) -> None:
    assert admin.get(f"/v1/tickets/crm/{name}").status_code == 422


def test_a_forgotten_ticket_is_deleted_everywhere(admin: TestClient, database: Database, inbox: Inbox) -> None:
    write_window(database, [forgotten_result()])
    inbox.put(Lane.LIVE, [encode(ticket(source="crm", external_id="4711", text=FORGOTTEN_TEXT))])
    answer = admin.delete("/v1/tickets/crm/4711")
    assert answer.status_code == 200
    assert answer.json()["forgotten"]["tombstone"] is True
    assert answer.json()["forgotten"]["inbox_entries"] == 1
    assert FORGOTTEN_TEXT not in all_content(database)
    assert waiting_payloads(inbox) == []
    assert admin.get("/v1/tickets/crm/4711").status_code == 404


def test_messages_of_a_forgotten_conversation_are_deleted(
    admin: TestClient, database: Database, inbox: Inbox
) -> None:
    conversation_everywhere(database, inbox)
    forgotten = admin.delete("/v1/tickets/crm/4711").json()["forgotten"]
    assert (forgotten["rows"]["messages"], forgotten["dead_letters"], forgotten["inbox_entries"]) == (2, 2, 2)
    assert not [word for word in (CUSTOMER_WORD, AGENT_WORD) if word in all_content(database)]
    assert waiting_payloads(inbox) == []


def test_forgetting_twice_is_harmless(admin: TestClient, database: Database) -> None:
    write_window(database, [forgotten_result()])
    admin.delete("/v1/tickets/crm/4711")
    assert admin.delete("/v1/tickets/crm/4711").json()["forgotten"]["tombstone"] is False


def test_a_read_key_may_not_forget_and_an_enqueue_key_may_not_read(opened: Services, database: Database) -> None:
    write_window(database, [forgotten_result()])
    assert client(opened, Scope.READ).delete("/v1/tickets/crm/4711").status_code == 403
    assert client(opened, Scope.ENQUEUE).get("/v1/tickets/crm/4711").status_code == 403
    assert client(opened).get("/v1/tickets/crm/4711").status_code == 401
