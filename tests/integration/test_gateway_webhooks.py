"""`POST /v1/webhooks/{source}`: a webhook is enqueued, ignored or stored as a dead letter, and never dropped."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

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
from triagem.db.auth import Scope, create_key
from triagem.db.tickets.dead_letters import list_dead_letters
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.inbox.webhook_counts import WebhookCounts
from triagem.producer.crm import CrmConfig, CrmFile
from triagem.producer.crm.crm_file import load_crm_file
from triagem.producer.crm.settings import make_source

SIGNING = make_source("signing", {"adapter": "zendesk", "secret": SECRET})
BATCHES = make_source(
    "batches", {"adapter": "generic", "token": TOKEN, "fields": {"external_id": "id", "text": ["text"]}}
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
    assert answer.json()["reason"] == "only attributes of the conversation changed"
    assert tickets(inbox) == []
    assert kept(database) == []


class TestUnmatched:
    """A payload that matches no record and no known event."""

    EVENT: ClassVar = {"event_type": "WEBHOOK.MARKED_OPPORTUNITY", "id": 1}

    @pytest.fixture
    def http(self, database: Database, inbox: Inbox) -> TestClient:
        fields = {"external_id": "id", "text": ["text"]}
        records = "[?event_type=='WEBHOOK.CONVERTED']"
        table = {"adapter": "generic", "token": TOKEN, "records": records, "fields": fields, "event": "event_type"}
        crm = CrmConfig({"rd": make_source("rd", table)})
        return client(services(database, inbox, crm=crm, webhook_rate_limit="1000/second"))

    def test_it_is_kept_while_the_source_has_brought_no_ticket(self, http: TestClient, database: Database) -> None:
        answer = http.post("/v1/webhooks/rd", json=self.EVENT, headers=PROOF)

        assert (answer.status_code, answer.json()["outcome"]) == (202, "dead-lettered")
        assert kept(database) == [
            ("webhook:rd", "`records` selects no record, and WEBHOOK.MARKED_OPPORTUNITY is not a known event")
        ]

    def test_it_is_ignored_and_counted_once_the_source_has_brought_one(
        self, http: TestClient, database: Database, inbox: Inbox
    ) -> None:
        converted = {"event_type": "WEBHOOK.CONVERTED", "id": 1, "text": "oi"}
        assert http.post("/v1/webhooks/rd", json=converted, headers=PROOF).json()["outcome"] == "accepted"
        answers = [http.post("/v1/webhooks/rd", json=self.EVENT, headers=PROOF) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [200, 200]
        assert kept(database) == []
        (counted,) = WebhookCounts(inbox.redis).ignored()
        assert (counted.source, counted.count) == ("rd", 2)
        assert counted.reason.startswith("`records` selects no record")

    def test_a_hundred_are_kept_and_the_others_are_counted(
        self, http: TestClient, database: Database, inbox: Inbox
    ) -> None:
        for number in range(102):
            http.post("/v1/webhooks/rd", json={"number": number}, headers=PROOF)

        assert len(kept(database)) == 99  # the rows that `kept` lists
        assert len(list_dead_letters(database, limit=200)) == 100
        assert [counted.count for counted in WebhookCounts(inbox.redis).ignored()] == [102]


def test_reasons_beyond_a_thousand_are_counted_together(inbox: Inbox) -> None:
    counts = WebhookCounts(inbox.redis)
    for number in range(1002):
        counts.record_ignored("zendesk", f"event {number}")
    counts.record_ignored("zendesk", "event 1")

    first, second, *others = counts.ignored()
    assert {(row.reason, row.count) for row in (first, second)} == {("another reason", 2), ("event 1", 2)}
    assert len(others) == 999


def test_the_console_lists_webhooks_without_a_ticket(http: TestClient, database: Database) -> None:
    http.post("/v1/webhooks/chatwoot", json=example("chatwoot_conversation_updated"), headers=PROOF)
    _, key = create_key(database, "reader", [Scope.READ])
    http.post("/console/login", data={"key": key})
    page = http.get("/console/operations").text

    assert "only attributes of the conversation changed" in page


@pytest.mark.parametrize(
    ("challenge", "headers", "body"),
    [
        ({"header": "X-Front-Challenge"}, {"X-Front-Challenge": "abc"}, {"type": "sync"}),
        ({"field": "challenge"}, {}, {"type": "url_verification", "challenge": "abc"}),
    ],
)
def test_the_challenge_of_a_crm_that_tests_the_url_is_sent_back_to_a_proved_sender(
    database: Database, inbox: Inbox, challenge: dict[str, str], headers: dict[str, str], body: dict[str, str]
) -> None:
    fields = {"external_id": "id", "text": ["text"]}
    table = {"adapter": "generic", "token": TOKEN, "challenge": challenge, "fields": fields}
    http = client(services(database, inbox, crm=CrmConfig({"shop": make_source("shop", table)})))

    answer = http.post("/v1/webhooks/shop", json=body, headers={**PROOF, **headers})
    assert (answer.status_code, answer.json()["challenge"]) == (200, "abc")
    assert http.post("/v1/webhooks/shop", json=body, headers=headers).status_code == 401
    assert kept(database) == []


class TestFileOfARunningGateway:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "crm.toml"
        path.write_text(f'[zammad]\ntoken = "{TOKEN}"\n')
        return path

    def test_a_new_source_is_received_without_a_restart(self, database: Database, inbox: Inbox, file: Path) -> None:
        http = client(replace(services(database, inbox), crm_file=CrmFile(file, every_s=0)))
        assert http.post("/v1/webhooks/front", json={}, headers=PROOF).status_code == 404

        file.write_text(f'[front]\ntoken = "{TOKEN}"\n')

        answer = http.post("/v1/webhooks/front", json=example("front_inbound"), headers=PROOF)
        assert answer.json() == {"outcome": "accepted", "tickets": 1}

    @pytest.mark.parametrize("content", ["[zammad", "[zammad]\n", None])
    def test_a_mistake_stops_nothing_and_the_last_valid_content_stays(
        self, database: Database, inbox: Inbox, file: Path, content: str | None
    ) -> None:
        crm_file = CrmFile(file, every_s=0)
        http = client(replace(services(database, inbox), crm_file=crm_file))
        file.write_text(content) if content else file.unlink()

        answer = http.post("/v1/webhooks/zammad", json=example("zammad_article"), headers=PROOF)
        assert answer.json() == {"outcome": "accepted", "tickets": 1}
        assert crm_file.problem
        file.write_text(f'[zammad]\ntoken = "{TOKEN}"\n')
        crm_file.read()
        assert crm_file.problem is None

    def test_it_is_read_every_few_seconds_only(self, file: Path) -> None:
        times = iter([0.0, 4.9, 5.1])
        crm_file = CrmFile(file, clock=lambda: next(times))
        file.write_text(f'[front]\ntoken = "{TOKEN}"\n')

        assert [list(crm_file.read().sources) for _ in range(2)] == [["zammad"], ["front"]]


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
    assert "not valid JSON" in reason


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
        """A dead letter whose ticket ids are in a field that the CRM file did not name then."""
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
        assert "not replayed, external_id = id: is missing or not an id: 1\n" in answer.out
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
    assert answer.err.startswith("triagem: TRIAGEM_CRM_FILE: crm.toml [zendesk] secret")
    assert len(answer.err.splitlines()) == 1


def test_no_answer_and_no_reason_repeats_what_was_sent(http: TestClient, database: Database) -> None:
    mark = "Zqx7391"
    for source in CRM.sources:
        for body in (mark, json.dumps(mark), json.dumps({mark: mark, "event": mark}), json.dumps([{"id": [mark]}])):
            answer = http.post(f"/v1/webhooks/{source}", content=body, headers=PROOF, params={"token": mark})
            assert mark not in answer.text
    assert mark not in str(kept(database))
