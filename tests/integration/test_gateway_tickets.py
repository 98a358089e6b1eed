"""`POST /v1/tickets`: every row gets its receipt, and 202 means that Redis has it."""

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any, cast

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.support.builders import fake_inbox, fields
from tests.support.gateway import client, services
from triagem.contracts.ticket import Lane, Ticket
from triagem.contracts.wire import decode
from triagem.db import Database
from triagem.db.auth import Scope, create_key
from triagem.gateway.app import create_app
from triagem.gateway.tickets import DirectTickets
from triagem.inbox import Entry, Inbox, InboxSettings, connect

PATH = "/v1/tickets"


def ticket_json(**changes: Any) -> dict[str, Any]:
    """A valid ticket in JSON's types."""
    values = fields(**changes)
    return values | {"revised_at": values["revised_at"].isoformat()} if "revised_at" not in changes else values


@pytest.fixture
def http(database: Database, inbox: Inbox) -> TestClient:
    return client(services(database, inbox), Scope.ENQUEUE)


def waiting(inbox: Inbox, lane: Lane = Lane.LIVE) -> list[Entry]:
    return inbox.fetch(lane, "test", 5000)


def tickets(inbox: Inbox, lane: Lane = Lane.LIVE) -> list[Ticket]:
    return [decode(entry.payload or b"") for entry in waiting(inbox, lane)]


def test_one_ticket_is_put_on_the_live_lane_and_its_receipt_names_the_entry(http: TestClient, inbox: Inbox) -> None:
    answer = http.post(PATH, json=ticket_json(text="minha internet caiu"))

    (entry,) = waiting(inbox)
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 1,
        "rejected": 0,
        "receipts": [{"status": "accepted", "entry_id": entry.id.decode()}],
    }
    assert decode(entry.payload or b"").text == "minha internet caiu"


def test_a_list_gets_one_receipt_per_row_in_order_and_an_invalid_row_fails_no_other(
    http: TestClient, inbox: Inbox
) -> None:
    rows = [
        ticket_json(external_id="1"),
        ticket_json(external_id="2", text=" "),
        7,
        ticket_json(external_id="3"),
        ticket_json(surprise=1),
    ]
    answer = http.post(PATH, json=rows)

    assert answer.status_code == 202
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (2, 3)
    assert [receipt.get("field", receipt.get("reason")) for receipt in answer.json()["receipts"]] == [
        None,
        "text",
        "is not an object with a ticket's fields",
        None,
        "surprise",
    ]
    assert [ticket.external_id for ticket in tickets(inbox)] == ["1", "3"]


@pytest.mark.parametrize("rows", [7, "x", None, [], {}, [ticket_json(text="")], ticket_json(external_id="")])
def test_where_no_ticket_is_accepted_the_answer_is_422_and_a_problem(
    http: TestClient, inbox: Inbox, rows: Any
) -> None:
    answer = http.post(PATH, json=rows)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 422
    assert tickets(inbox) == []


def test_an_empty_list_is_called_empty(http: TestClient) -> None:
    assert http.post(PATH, json=[]).json()["detail"] == "body: the list is empty: send at least one ticket"


def test_a_list_of_invalid_rows_gets_receipts_too(http: TestClient) -> None:
    answer = http.post(PATH, json=[ticket_json(text=""), ticket_json(source="")])

    assert answer.status_code == 422
    assert [receipt["field"] for receipt in answer.json()["receipts"]] == ["text", "source"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' + b"1" * 5000 + b"}", b"\x00", b'"\\ud800"']
)
def test_a_broken_body_is_422(http: TestClient, body: bytes) -> None:
    assert http.post(PATH, content=body).status_code == 422


def test_a_lane_may_be_named(http: TestClient, inbox: Inbox) -> None:
    assert http.post(PATH, params={"lane": "bulk"}, json=ticket_json()).status_code == 202
    assert len(tickets(inbox, Lane.BULK)) == 1
    assert http.post(PATH, params={"lane": "fast"}, json=ticket_json()).status_code == 422


def test_1000_tickets_are_accepted_and_one_more_is_413(http: TestClient, inbox: Inbox) -> None:
    rows = [ticket_json(external_id=str(number)) for number in range(1001)]

    assert http.post(PATH, json=rows).status_code == 413
    assert http.post(PATH, json=rows[:1000]).json()["accepted"] == 1000
    assert len(tickets(inbox)) == 1000


def test_the_requests_id_travels_with_the_entry(http: TestClient, inbox: Inbox) -> None:
    answer = http.post(PATH, json=ticket_json(), headers={"X-Request-Id": "shop-17"})

    (entry,) = waiting(inbox)
    assert entry.request_id == answer.headers["x-request-id"] == "shop-17"


def test_a_full_inbox_is_429_with_the_time_to_wait(database: Database, inbox: Inbox) -> None:
    full = Inbox(inbox.redis, InboxSettings(live_high_water=1))
    answer = client(services(database, full), Scope.ENQUEUE).post(
        PATH, json=[ticket_json(), ticket_json(external_id="2")]
    )

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert tickets(inbox) == []


def test_without_redis_the_answer_is_503(database: Database) -> None:
    unavailable = Inbox(connect("redis://127.0.0.1:1/0"))
    answer = client(services(database, unavailable), Scope.ENQUEUE).post(PATH, json=ticket_json())

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


def test_openapi_describes_the_body_with_examples_that_are_accepted(http: TestClient) -> None:
    described = http.get("/openapi.json")
    content = described.json()["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]

    assert "#/$defs" not in described.text  # such references cannot be resolved in an OpenAPI document
    for example in content["examples"].values():
        assert http.post(PATH, json=example["value"]).status_code == 202


class TestIdempotencyKey:
    def test_the_same_request_again_gets_the_same_answer_and_puts_nothing(
        self, http: TestClient, inbox: Inbox
    ) -> None:
        body = [ticket_json(external_id="1"), ticket_json(text=""), ticket_json(external_id="2")]
        first, again = (http.post(PATH, json=body, headers={"Idempotency-Key": "a"}) for _ in range(2))

        assert (again.status_code, again.json()) == (202, first.json())
        assert len(tickets(inbox)) == 2

    def test_another_process_gives_the_same_answer(self, database: Database, inbox: Inbox) -> None:
        shared = services(database, inbox)
        http, other = client(shared, Scope.ENQUEUE), client(shared)
        first = http.post(PATH, json=ticket_json(), headers={"Idempotency-Key": "a"})
        again = other.post(PATH, json=ticket_json(), headers={"Idempotency-Key": "a", **_key(http)})

        assert again.json() == first.json()
        assert len(tickets(inbox)) == 1

    @pytest.mark.parametrize(
        "other", [{"json": ticket_json(external_id="2")}, {"json": ticket_json(), "params": {"lane": "bulk"}}]
    )
    def test_with_another_body_or_lane_it_is_422(self, http: TestClient, inbox: Inbox, other: dict[str, Any]) -> None:
        http.post(PATH, json=ticket_json(), headers={"Idempotency-Key": "a"})
        answer = http.post(PATH, headers={"Idempotency-Key": "a"}, **other)

        assert answer.status_code == 422
        assert "Idempotency-Key" in answer.json()["detail"]
        assert len(tickets(inbox)) == 1

    def test_of_concurrent_requests_with_one_key_one_is_put(self, http: TestClient, inbox: Inbox) -> None:
        def send(_: int) -> str:
            return http.post(PATH, json=ticket_json(), headers={"Idempotency-Key": "a"}).text

        with http, ThreadPoolExecutor(8) as pool:  # `with http`: all requests run in one event loop
            answers = set(pool.map(send, range(16)))
        assert len(answers) == 1
        assert len(tickets(inbox)) == 1

    def test_another_api_key_may_use_the_same(self, database: Database, inbox: Inbox) -> None:
        shared = services(database, inbox)
        for number in range(2):
            http = client(shared, Scope.ENQUEUE)
            assert (
                http.post(
                    PATH, json=ticket_json(external_id=str(number)), headers={"Idempotency-Key": "a"}
                ).status_code
                == 202
            )
        assert len(tickets(inbox)) == 2

    def test_a_refused_request_may_be_corrected_and_sent_again(self, database: Database, inbox: Inbox) -> None:
        full = Inbox(inbox.redis, InboxSettings(live_high_water=1))
        http = client(services(database, full), Scope.ENQUEUE)
        headers = {"Idempotency-Key": "a"}
        assert http.post(PATH, json=[ticket_json(text="")], headers=headers).status_code == 422
        assert http.post(PATH, json=[ticket_json(), ticket_json()], headers=headers).status_code == 429
        assert http.post(PATH, json=ticket_json(), headers=headers).status_code == 202
        # The same answer is returned although the lane is full by now.
        assert http.post(PATH, json=ticket_json(), headers=headers).status_code == 202

    def test_it_is_kept_for_a_day(self, http: TestClient, inbox: Inbox) -> None:
        http.post(PATH, json=ticket_json(), headers={"Idempotency-Key": "a"})
        (stored_key,) = inbox.redis.scan_iter(match="*:once:*")

        assert 86_000 < inbox.redis.ttl(stored_key) <= 86_400


def _key(http: TestClient) -> dict[str, str]:
    return {"Authorization": http.headers["Authorization"]}


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\x00\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(ticket_json(), _ANYTHING)) | _ANYTHING, max_size=4)
)
def test_any_json_is_answered_by_receipts_or_a_problem(http: TestClient, rows: list[Any]) -> None:
    answer = http.post(
        PATH, content=json.dumps([*rows, ticket_json()])
    )  # json.dumps writes NaN and lone surrogates too

    assert answer.status_code == 202
    assert [receipt["status"] for receipt in answer.json()["receipts"]][-1] == "accepted"
    assert len(answer.json()["receipts"]) == len(rows) + 1


@pytest.mark.parametrize(
    "hostile_text",
    ["'; DROP TABLE tickets; --", "<script>alert(1)</script>", "{{7*7}}", "\u202e%s%n\r\nX: y", "\x00", "💥" * 99],
)
def test_hostile_text_in_every_field_stays_text(http: TestClient, inbox: Inbox, hostile_text: str) -> None:
    hostile = ticket_json(
        source=hostile_text[:64], external_id=hostile_text, text=hostile_text, metadata={hostile_text: [hostile_text]}
    )
    assert http.post(PATH, json=hostile).json()["accepted"] == 1

    (ticket,) = tickets(inbox)
    kept = hostile_text.replace("\x00", "\ufffd")
    assert (ticket.text, ticket.metadata) == (kept, {kept: [kept]})


def test_no_answer_repeats_what_was_sent(http: TestClient) -> None:
    mark = "Zqx7391"
    bad = [
        {f"{mark} {mark}": mark, "name": mark},
        ticket_json(text=[mark]),
        ticket_json(revised_at=mark),
        ticket_json(metadata=mark),
        ticket_json(source=mark * 20),
        mark,
    ]
    for body in ([*bad, ticket_json()], bad, *bad):
        assert mark not in http.post(PATH, json=body).text
    assert mark not in http.post(PATH, content=f"[{mark}").text
    assert mark not in http.post(PATH, json=ticket_json(), params={"lane": mark}).text


def test_a_key_of_a_source_submits_tickets_of_that_source_alone(database: Database, inbox: Inbox) -> None:
    http = client(services(database, inbox))
    _, secret = create_key(database, "shop", [Scope.ENQUEUE], source="shop")
    rows = [ticket_json(source="shop", external_id="1"), ticket_json(source="zendesk", external_id="2")]
    answer = http.post(PATH, json=rows, headers={"Authorization": f"Bearer {secret}"}).json()

    assert [receipt.get("field") for receipt in answer["receipts"]] == [None, "source"]
    assert [ticket.source for ticket in tickets(inbox)] == ["shop"]


class TestDirectRoute:
    """The direct route answers as FastAPI would by resolving the endpoint's parameters."""

    _LIMIT = 4096
    _IDS = re.compile(rb"\d{13}-\d+")

    @pytest.fixture
    def pair(self, database: Database) -> tuple[TestClient, TestClient]:
        """Two gateways with the same settings, each with an inbox of its own: by the direct route, and by FastAPI."""
        clients = []
        for _ in range(2):
            full_soon = Inbox(fake_inbox().redis, InboxSettings(live_high_water=150, bulk_high_water=2))
            opened = services(
                database,
                full_soon,
                max_body_bytes=self._LIMIT,
                rate_limit="200/hour",
                failed_key_limit="20/hour",
            )
            clients.append(TestClient(create_app(opened), raise_server_exceptions=False))
        application = clients[1].app
        assert isinstance(application, FastAPI)
        application.user_middleware = [
            middleware
            for middleware in application.user_middleware
            if cast("Any", middleware.cls) is not DirectTickets
        ]
        return clients[0], clients[1]

    def test_every_answer_is_the_same_as_through_fastapi(
        self, pair: tuple[TestClient, TestClient], database: Database
    ) -> None:
        random, seen = Random(7), Counter[int]()
        keys = [
            create_key(database, "shop", [Scope.ENQUEUE], source="shop")[1],
            create_key(database, "reader", [Scope.READ])[1],
            create_key(database, "admin", [Scope.ADMIN])[1],
        ]
        for _ in range(500):
            request = self._request(random, keys)
            direct, by_fastapi = (self._answer(client.post(**request)) for client in pair)
            assert direct == by_fastapi, request
            seen[direct[0]] += 1

        assert set(seen) == {202, 401, 403, 413, 422, 429}
        assert seen[202] > 30

    def _answer(self, answer: Any) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body; entry ids are left out, as they contain the time."""
        headers = [(name, value) for name, value in answer.headers.multi_items() if name != "content-length"]
        return answer.status_code, headers, self._IDS.sub(b"ID", answer.content)

    def _request(self, random: Random, keys: list[str]) -> dict[str, Any]:
        """A request, valid or not, with one of the usual mistakes or attacks in each part."""
        valid = ticket_json(source=random.choice(["shop", "zendesk"]), external_id=str(random.randrange(9)))
        row = random.choice(
            [*[valid] * 6, {**valid, "text": ""}, {**valid, "revised_at": "x"}, {**valid, "surprise": 1}, 7, None, {},
             {**valid, "message_id": "m-1"}, {**valid, "metadata": {"a": [[]] * 9}}, {**valid, "text": "\x00é💥"}]
        )  # fmt: skip
        bodies = [
            b"", b"{", b"[]", b"\xff", b"[" * 3000, b"[" + b"1," * 1001 + b"1]", b" " * (self._LIMIT + 1),
            json.dumps(valid).encode("utf-16"),
        ]  # fmt: skip
        rows: list[Any] = [row, valid, row]
        body = random.choice([*[json.dumps(row).encode()] * 8, *[json.dumps(rows).encode()] * 8, *bodies])
        headers: dict[str, str | bytes] = {"X-Request-Id": "same"}
        keyed = [f"Bearer {key}" for key in keys]
        if credentials := random.choice(["", "Basic x", "bearer", "Bearer  wrong", *keyed * 4]):
            headers["Authorization"] = credentials
        once = random.choice([*[None] * 6, "a", "b", "", "x" * 256, "\xe9"])
        if once is not None:
            headers["Idempotency-Key"] = once.encode("latin-1")
        queries = ["lane=bulk", "lane=", "lane=fast", "lane=live&lane=bulk", "lan=live", "x y=1"]
        query = random.choice([*[""] * 9, "lane=live", *queries])
        return {"url": f"{PATH}?{query}", "headers": headers, "content": body}
