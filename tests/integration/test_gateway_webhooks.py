"""`POST /v1/webhooks/{source}`: what a CRM sends is enqueued, ignored or kept as a dead letter, and never dropped."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.builders import NOW
from tests.support.command import Triagem
from tests.support.crm import SECRET, SOURCES, TOKEN, example, zendesk_headers
from tests.support.gateway import client, services
from triagem.contracts.errors import InvalidInput
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import decode
from triagem.db import Database
from triagem.db.tickets.dead_letters import list_dead_letters
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.producer.crm import CrmConfig
from triagem.producer.crm.crm_file import load_crm_file
from triagem.producer.crm.settings import GenericSource, ZendeskSource

SIGNING = ZendeskSource.model_validate({"name": "signing", "secret": SECRET})
BATCHES = GenericSource.model_validate(
    {"name": "batches", "token": TOKEN, "fields": {"external_id": "id", "text": ["text"]}}
)
CRM = CrmConfig({source.name: source for source in [*SOURCES, SIGNING, BATCHES]})
PROOF = {"X-Triagem-Token": TOKEN}


@pytest.fixture
def http(database: Database, inbox: Inbox) -> TestClient:
    return client(services(database, inbox, crm=CRM))


def tickets(inbox: Inbox) -> list[Ticket]:
    return [decode(entry.payload or b"") for entry in inbox.fetch(Lane.LIVE, "test", 100)]


def kept(database: Database) -> list[tuple[str, str]]:
    """Lane and reason of each dead letter."""
    return [(letter.lane, letter.reason) for letter in list_dead_letters(database, limit=99)]


@pytest.mark.parametrize(
    ("source", "payload"),
    [
        ("zendesk", "zendesk_ticket_created"),
        ("zendesk", "zendesk_trigger"),
        ("chatwoot", "chatwoot_message_created"),
        ("freshdesk", "freshdesk_created"),
        ("hubspot", "hubspot_events"),
        ("salesforce", "salesforce_flow"),
    ],
)
def test_a_recorded_payload_of_each_crm_becomes_a_live_ticket(
    http: TestClient, inbox: Inbox, source: str, payload: str
) -> None:
    answer = http.post(f"/v1/webhooks/{source}", json=example(payload), headers=PROOF)

    (ticket,) = tickets(inbox)
    assert (answer.status_code, answer.json()) == (202, {"outcome": "accepted", "tickets": 1})
    assert ticket.source == source


def test_a_signature_authenticates_a_request(http: TestClient, inbox: Inbox) -> None:
    body = json.dumps(example("zendesk_ticket_created")).encode()
    right = zendesk_headers(body, NOW.strftime("%Y-%m-%dT%H:%M:%SZ"))

    assert http.post("/v1/webhooks/signing", content=body, headers=right).status_code == 202
    assert http.post("/v1/webhooks/signing", content=body + b" ", headers=right).status_code == 401
    assert len(tickets(inbox)) == 1


def test_a_token_may_be_in_the_url(http: TestClient) -> None:
    payload = example("salesforce_flow")

    assert http.post("/v1/webhooks/salesforce", json=payload, params={"token": TOKEN}).status_code == 202


@pytest.mark.parametrize("proof", [{}, {"X-Triagem-Token": "wrong"}, {"Authorization": "Bearer wrong"}])
def test_without_signature_or_token_nothing_is_parsed_or_kept(
    http: TestClient, inbox: Inbox, database: Database, proof: dict[str, str]
) -> None:
    for body in (b"broken", json.dumps(example("salesforce_flow")).encode()):
        answer = http.post("/v1/webhooks/salesforce", content=body, headers=proof)

        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    assert tickets(inbox) == []
    assert kept(database) == []


def test_an_irrelevant_event_is_200_with_the_reason(http: TestClient, inbox: Inbox, database: Database) -> None:
    answer = http.post("/v1/webhooks/chatwoot", json=example("chatwoot_conversation_updated"), headers=PROOF)

    assert (answer.status_code, answer.json()["outcome"]) == (200, "ignored")
    assert "label_list" in answer.json()["reason"]
    assert tickets(inbox) == []
    assert kept(database) == []


def test_an_unknown_source_is_404(http: TestClient) -> None:
    assert http.post("/v1/webhooks/elsewhere", json={}, headers=PROOF).status_code == 404


def test_an_unreadable_body_is_kept_once_and_accepted_so_that_the_crm_does_not_retry(
    http: TestClient, database: Database
) -> None:
    for _ in range(2):
        answer = http.post("/v1/webhooks/salesforce", content=b"not json", headers=PROOF)
        assert (answer.status_code, answer.json()["outcome"]) == (202, "dead-lettered")

    ((lane, reason),) = kept(database)
    assert lane == "webhook:salesforce"
    assert "not JSON" in reason


def test_valid_tickets_of_a_batch_are_put_and_the_body_is_kept_for_the_rest(
    http: TestClient, inbox: Inbox, database: Database
) -> None:
    batch = [{"id": 1, "text": "oi"}, {"id": None, "text": "tchau"}]
    answer = http.post("/v1/webhooks/batches", json=batch, headers=PROOF)

    assert answer.status_code == 202
    assert (answer.json()["outcome"], answer.json()["tickets"]) == ("accepted", 1)
    assert [ticket.external_id for ticket in tickets(inbox)] == ["1"]
    assert [lane for lane, _ in kept(database)] == ["webhook:batches"]


def test_a_webhook_of_too_many_records_is_413_and_nothing_of_it_is_kept(
    http: TestClient, inbox: Inbox, database: Database
) -> None:
    records = [{"id": number, "text": "oi"} for number in range(1001)]
    answer = http.post("/v1/webhooks/batches", json=records, headers=PROOF)

    assert answer.status_code == 413
    assert "at most 1,000" in answer.json()["detail"]
    assert tickets(inbox) == []
    assert kept(database) == []
    assert http.post("/v1/webhooks/batches", json=records[:1000], headers=PROOF).json()["tickets"] == 1000


def test_a_source_over_its_rate_is_429_and_senders_without_proof_do_not_use_it_up(
    database: Database, inbox: Inbox
) -> None:
    http = client(services(database, inbox, crm=CRM, webhook_rate_limit="2/hour"))
    body = [{"id": 1, "text": "oi"}]
    forged = [http.post("/v1/webhooks/batches", json=body).status_code for _ in range(3)]
    proved = [http.post("/v1/webhooks/batches", json=body, headers=PROOF) for _ in range(3)]

    assert forged == [401] * 3
    assert [answer.status_code for answer in proved] == [202, 202, 429]
    assert proved[-1].headers["retry-after"]
    assert http.post("/v1/webhooks/salesforce", json=example("salesforce_flow"), headers=PROOF).status_code == 202


def test_an_outage_is_503_and_a_full_inbox_429(database: Database, inbox: Inbox, unreachable: Database) -> None:
    unavailable = client(services(unreachable, Inbox(connect("redis://127.0.0.1:1/0")), crm=CRM))
    full = client(services(database, Inbox(inbox.redis, InboxSettings(live_high_water=1)), crm=CRM))
    batch = [{"id": 1, "text": "oi"}, {"id": 2, "text": "tchau"}]

    assert unavailable.post("/v1/webhooks/batches", content=b"not json", headers=PROOF).status_code == 503
    assert unavailable.post("/v1/webhooks/batches", json=batch, headers=PROOF).status_code == 503
    assert full.post("/v1/webhooks/batches", json=batch, headers=PROOF).status_code == 429


@pytest.fixture
def unreachable() -> Database:
    return Database("postgresql://nobody@127.0.0.1:1/none")


class TestReplay:
    @pytest.fixture
    def letter(self, http: TestClient) -> bytes:
        """A dead letter: its tickets' ids are in a field that the CRM file did not name at the time."""
        body = json.dumps([{"number": 1, "text": "oi"}]).encode()
        assert http.post("/v1/webhooks/batches", content=body, headers=PROOF).json()["outcome"] == "dead-lettered"
        return body

    def test_it_is_listed_and_shown(self, triagem: Triagem, letter: bytes) -> None:
        assert "webhook:batches" in triagem("dead", "list").out
        assert json.loads(triagem("dead", "show", "1", "--json").out)["payload"] == letter.decode()

    def test_once_the_file_is_fixed_it_is_read_again_with_its_time_of_arrival(
        self, triagem: Triagem, letter: bytes, inbox: Inbox, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (died_at,) = (dead_letter.died_at for dead_letter in list_dead_letters(database, limit=1))
        _crm_file(monkeypatch, external_id="number")

        assert triagem("dead", "replay", "--all").out == "1 replayed\n"
        (ticket,) = tickets(inbox)
        assert (ticket.source, ticket.external_id, ticket.revised_at) == ("batches", "1", died_at)
        assert kept(database) == []

    def test_a_body_that_is_still_unreadable_is_kept(
        self, triagem: Triagem, letter: bytes, inbox: Inbox, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _crm_file(monkeypatch, external_id="id")
        answer = triagem("dead", "replay", "1")

        assert answer.status == 1
        assert "cannot be read" in answer.out
        assert tickets(inbox) == []
        assert len(kept(database)) == 1

    def test_valid_tickets_of_a_batch_are_put_again_and_it_is_kept_for_the_rest(
        self, triagem: Triagem, http: TestClient, inbox: Inbox, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batch = [{"id": 1, "text": "oi"}, {"id": None, "text": "tchau"}]
        http.post("/v1/webhooks/batches", json=batch, headers=PROOF)
        tickets(inbox)
        _crm_file(monkeypatch, external_id="id")

        assert triagem("dead", "replay", "1").status == 1
        assert [ticket.external_id for ticket in tickets(inbox)] == ["1"]
        assert len(kept(database)) == 1

    def test_one_of_a_removed_source_is_kept_until_it_is_dropped(
        self, triagem: Triagem, letter: bytes, database: Database
    ) -> None:
        assert "TRIAGEM_CRM_FILE" in triagem("dead", "replay", "--all").out
        assert len(kept(database)) == 1
        assert triagem("dead", "drop", "1", "--yes").status == 0
        assert kept(database) == []


def _crm_file(monkeypatch: pytest.MonkeyPatch, external_id: str) -> None:
    table: dict[str, Any] = {"adapter": '"generic"', "token": f'"{TOKEN}"'}
    lines = [f"{name} = {value}" for name, value in table.items()]
    Path("crm.toml").write_text(
        "\n".join(["[batches]", *lines, f'fields = {{ external_id = "{external_id}", text = ["text"] }}'])
    )
    monkeypatch.setenv("TRIAGEM_CRM_FILE", "crm.toml")


def test_an_error_in_the_crm_file_stops_the_gateway_with_one_line(
    triagem: Triagem, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("crm.toml").write_text("[zendesk]\nsecret = 7\n")
    monkeypatch.setenv("TRIAGEM_CRM_FILE", "crm.toml")
    with pytest.raises(InvalidInput):
        load_crm_file(Path("crm.toml"))
    answer = triagem("gateway")

    assert answer.status == 1
    assert answer.err.startswith("triagem: crm.toml [zendesk] secret")
    assert len(answer.err.splitlines()) == 1


def test_no_answer_and_no_reason_repeats_what_was_sent(http: TestClient, database: Database) -> None:
    mark = "Zqx7391"
    for source in CRM.sources:
        for body in (mark, json.dumps(mark), json.dumps({mark: mark, "event": mark}), json.dumps([{"id": [mark]}])):
            answer = http.post(f"/v1/webhooks/{source}", content=body, headers=PROOF, params={"token": mark})
            assert mark not in answer.text
    assert mark not in str(kept(database))
