"""The Python client against the real gateway: with and without asyncio, through outages, each ticket once."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from tests.support.builders import NOW, fields, ticket
from tests.support.forgetting import waiting
from tests.support.gateway import room
from tests.support.pipeline import running
from tests.support.results import judge, result
from tests.support.waiting import until
from triagem.cli.stack import Endpoints
from triagem.contracts.errors import AccessDenied, GatewayAway, InboxFull, InvalidInput, InvalidTicket
from triagem.contracts.result import Answer
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.keys import Scope, create
from triagem.db.window import write
from triagem.gateway.app import create_app
from triagem.gateway.room import Room
from triagem.inbox import Inbox, InboxSettings
from triagem.producer import exchange
from triagem.producer.client import AsyncClient, Client

URL = "http://testserver"


@pytest.fixture
def opened(database: Database, inbox: Inbox, instant_models: Path) -> Room:
    return room(database, inbox, models=instant_models, predict_wait_s=0.05)


@pytest.fixture
def key(database: Database) -> str:
    return create(database, "shop", [Scope.ENQUEUE, Scope.READ])[1]


@pytest.fixture
def shop(opened: Room, key: str) -> Iterator[Client]:
    with Client(URL, key, http=TestClient(create_app(opened)), sleep=lambda _: None) as client:
        yield client


class Cut(httpx2.BaseTransport):
    """Carries the first requests to the gateway, and loses what it answers."""

    def __init__(self, app: TestClient, times: int) -> None:
        self._app, self.left = app, times

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = self._app.send(request)
        self.left -= 1
        if self.left >= 0:
            raise httpx2.ReadError("cut off")
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)


def cut(opened: Room, key: str, times: int) -> Client:
    transport = Cut(TestClient(create_app(opened)), times)
    return Client(URL, key, http=httpx2.Client(transport=transport), sleep=lambda _: None)


class TestEnqueue:
    def test_a_ticket_is_in_the_inbox_when_its_receipt_is_there(self, shop: Client, inbox: Inbox) -> None:
        receipt = shop.enqueue(fields())
        assert receipt.status == "accepted"
        assert inbox.redis.xlen("triagem:{0}:live") == 1

    def test_a_ticket_may_be_one_already_and_choose_its_lane(self, shop: Client, inbox: Inbox) -> None:
        shop.enqueue(ticket(), lane=Lane.BULK)
        assert inbox.depth(Lane.BULK).waiting == 1

    def test_a_bad_one_raises_what_is_wrong_with_it(self, shop: Client) -> None:
        with pytest.raises(InvalidTicket, match="revised_at"):
            shop.enqueue(fields(revised_at="yesterday"))
        with pytest.raises(InvalidTicket, match="in the future"):  # which the gateway finds
            shop.enqueue(fields(revised_at=NOW + timedelta(days=1)))

    def test_of_many_each_has_its_receipt_in_order_and_a_bad_one_sinks_no_other(
        self, shop: Client, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exchange, "_MOST_ROWS", 3)
        rows = [fields(external_id=str(number)) for number in range(8)]
        rows[4] = fields(text="")
        rows[6] = fields(revised_at=NOW + timedelta(days=1))
        receipts = list(shop.enqueue_many(iter(rows)))
        assert [one.status == "accepted" for one in receipts] == [number not in (4, 6) for number in range(8)]
        assert receipts[4].field == "text"
        assert len(waiting(inbox)) == 6

    def test_a_batch_of_bad_ones_alone_has_receipts_too(self, shop: Client) -> None:
        rows = [fields(revised_at=NOW + timedelta(days=1)), fields(text="")]
        assert [one.field for one in shop.enqueue_many(rows)] == ["revised_at", "text"]

    def test_batches_stay_under_the_gateway_s_limit(self) -> None:
        large = [fields(text="x" * 90_000) for _ in range(100)]
        sizes = [sum(map(len, filter(None, batch))) for batch in exchange.batches(large)]  # type: ignore[arg-type]
        assert len(sizes) > 1
        assert max(sizes) <= 4_000_000

    def test_a_batch_whose_answer_was_lost_is_sent_again_and_put_once(
        self, opened: Room, key: str, inbox: Inbox
    ) -> None:
        rows = [fields(external_id=str(number)) for number in range(10)]
        receipts = list(cut(opened, key, times=2).enqueue_many(rows))
        assert [one.status for one in receipts] == ["accepted"] * 10
        assert len(waiting(inbox)) == 10

    def test_a_gateway_that_stays_away_is_given_up(self, opened: Room, key: str) -> None:
        with pytest.raises(GatewayAway, match="does not answer"):
            cut(opened, key, times=99).enqueue(fields())

    def test_a_full_inbox_is_waited_out_as_long_as_it_says(self, database: Database, inbox: Inbox, key: str) -> None:
        full = Inbox(inbox.redis, InboxSettings(live_mark=1))
        waits = list[float]()

        def drain(seconds: float) -> None:
            waits.append(seconds)
            inbox.settle(inbox.take(Lane.LIVE, "worker", 10))

        app = TestClient(create_app(room(database, full)))
        client = Client(URL, key, http=app, sleep=drain)
        for _ in range(2):
            assert client.enqueue(fields()).status == "accepted"
        assert waits == [5.0]
        with pytest.raises(InboxFull, match="lane is full"):
            Client(URL, key, http=app, sleep=lambda _: None).enqueue(fields())


class TestRead:
    def test_a_ticket_comes_with_all_that_is_known_of_it(self, shop: Client, database: Database) -> None:
        write(database, [result("../a/b?c#d", source="crm", words="ação")])
        judge(database, "../a/b?c#d", "suporte", words="ação")
        known = shop.ticket("crm", "../a/b?c#d")
        assert known is not None
        assert (known.text, known.label, known.reviews[0].reviewer) == ("ação", "suporte", "ana")

    @pytest.mark.parametrize("name", [".", "..", "...", "a%2Fb"])
    def test_names_that_a_path_would_swallow_are_found(self, shop: Client, database: Database, name: str) -> None:
        write(database, [result(name, source="crm")])
        known = shop.ticket("crm", name)
        assert known is not None
        assert known.external_id == name

    def test_an_unknown_ticket_is_none(self, shop: Client) -> None:
        assert shop.ticket("crm", "none") is None

    def test_results_are_read_to_the_end(
        self, shop: Client, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exchange, "_MOST_ROWS", 2)
        write(database, [result(str(number)) for number in range(5)])
        write(database, [result("other", source="other")])
        assert sorted(row.external_id for row in shop.results(source="zendesk")) == list("01234")
        assert list(shop.results(since=NOW + timedelta(seconds=1))) == []

    def test_what_may_not_be_done_is_said(self, opened: Room) -> None:
        with pytest.raises(AccessDenied, match="a key is needed"):
            Client(URL, http=TestClient(create_app(opened))).ticket("crm", "1")

    def test_what_cannot_be_asked_is_said(self, shop: Client) -> None:
        with pytest.raises(InvalidInput, match="band"):
            list(shop.results(band="none"))

    def test_a_server_of_another_kind_is_named_so(self, key: str) -> None:
        other = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, text="<html>")))
        with pytest.raises(GatewayAway, match="not Triagem's gateway"):
            Client(URL, key, http=other).ticket("crm", "1")


class TestPredict:
    def test_a_text_is_answered_also_when_it_takes_longer(
        self, opened: Room, key: str, endpoints: Endpoints, instant_models: Path, inbox: Inbox
    ) -> None:
        def pause(_: float) -> None:
            with running(endpoints, instant_models):
                until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)

        client = Client(URL, key, http=TestClient(create_app(opened)), sleep=pause)
        assert client.predict("minha internet caiu agora") == Answer(class_name="suporte", confidence=0.9)

    def test_where_nobody_answers_it_ends(self, shop: Client) -> None:
        with pytest.raises(GatewayAway, match="no answer within 1 s"):
            shop.predict("minha internet caiu", wait_s=1)

    def test_what_is_no_text_is_refused(self, shop: Client) -> None:
        with pytest.raises(InvalidInput, match="unicode"):
            shop.predict("\ud800")


def test_the_same_without_waiting_threads(opened: Room, key: str, inbox: Inbox, database: Database) -> None:
    write(database, [result("known", source="crm")])

    async def session() -> None:
        transport = httpx2.ASGITransport(app=create_app(opened))
        async with AsyncClient(URL, key, http=httpx2.AsyncClient(transport=transport)) as client:
            assert (await client.enqueue(fields())).status == "accepted"
            many = [one.status async for one in client.enqueue_many([fields(text=""), fields(external_id="2")])]
            assert many == ["rejected", "accepted"]
            known = await client.ticket("crm", "known")
            assert known is not None
            assert known.label == "venda"
            assert [row.external_id async for row in client.results()] == ["known"]
            with pytest.raises(GatewayAway):
                await client.predict("minha internet caiu", wait_s=0.5)

    asyncio.run(session())
    assert len(waiting(inbox)) == 3
