"""The Python client against the real gateway: sync and asyncio, each ticket submitted once even through outages."""

import asyncio
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import cast

import httpx2
import pytest
from starlette.testclient import TestClient

from tests.support.builders import NOW, ticket, ticket_fields
from tests.support.forgetting import waiting_payloads
from tests.support.gateway import services
from tests.support.pipeline import running
from tests.support.results import insert_review, result
from tests.support.waiting import until
from triagem import AsyncClient, Client, TicketFields
from triagem.contracts.errors import AccessDenied, GatewayUnavailable, InboxFull, InvalidInput, InvalidTicket
from triagem.contracts.result import PredictResponse
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.auth import Scope, create_key
from triagem.db.tickets.window import write_window
from triagem.gateway.app import create_app
from triagem.gateway.services import Services
from triagem.inbox import Inbox, InboxSettings
from triagem.producer import client_protocol
from triagem.stack import Endpoints

URL = "http://testserver"


@pytest.fixture
def opened(database: Database, inbox: Inbox, instant_models: Path) -> Services:
    return services(database, inbox, models=instant_models, predict_wait_s=0.05)


@pytest.fixture
def key(database: Database) -> str:
    return create_key(database, "shop", [Scope.ENQUEUE, Scope.READ])[1]


@pytest.fixture
def shop(opened: Services, key: str) -> Iterator[Client]:
    with Client(URL, key, http=TestClient(create_app(opened)), sleep=lambda _: None) as client:
        yield client


class LossyTransport(httpx2.BaseTransport):
    """Sends requests to the gateway, and loses the responses to the first of them."""

    def __init__(self, app: TestClient, times: int) -> None:
        self._app, self.left = app, times

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = self._app.send(request)
        self.left -= 1
        if self.left >= 0:
            raise httpx2.ReadError("cut off")
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)


def lossy_client(opened: Services, key: str, times: int) -> Client:
    transport = LossyTransport(TestClient(create_app(opened)), times)
    return Client(URL, key, http=httpx2.Client(transport=transport), sleep=lambda _: None)


class TestEnqueue:
    def test_a_ticket_is_in_the_inbox_when_its_receipt_is_there(self, shop: Client, inbox: Inbox) -> None:
        receipt = shop.publish(**ticket_fields())
        assert receipt.status == "accepted"
        assert inbox.redis.xlen("triagem:{0}:live") == 1

    def test_a_ticket_object_is_accepted_with_a_lane(self, shop: Client, inbox: Inbox) -> None:
        list(shop.publish_many([ticket()], lane=Lane.BULK))
        assert inbox.depth(Lane.BULK).waiting == 1

    def test_an_invalid_ticket_raises_what_is_wrong_with_it(self, shop: Client) -> None:
        with pytest.raises(InvalidTicket, match="revised_at"):
            shop.publish(**ticket_fields(revised_at="yesterday"))
        with pytest.raises(InvalidTicket, match="in the future"):  # the gateway finds the error
            shop.publish(**ticket_fields(revised_at=NOW + timedelta(days=1)))

    def test_of_many_each_has_its_receipt_in_order_and_an_invalid_one_fails_no_other(
        self, shop: Client, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_protocol, "_MAX_ROWS", 3)
        rows = [ticket_fields(external_id=str(number)) for number in range(8)]
        rows[4] = ticket_fields(text="")
        rows[6] = ticket_fields(revised_at=NOW + timedelta(days=1))
        receipts = list(shop.publish_many(iter(rows)))
        assert [receipt.status == "accepted" for receipt in receipts] == [number not in (4, 6) for number in range(8)]
        assert receipts[4].field == "text"
        assert len(waiting_payloads(inbox)) == 6

    def test_a_batch_of_invalid_tickets_has_receipts_too(self, shop: Client) -> None:
        rows = [ticket_fields(revised_at=NOW + timedelta(days=1)), ticket_fields(text="")]
        assert [receipt.field for receipt in shop.publish_many(rows)] == ["revised_at", "text"]

    def test_an_item_that_is_not_a_ticket_is_rejected_and_the_others_are_sent(
        self, shop: Client, inbox: Inbox
    ) -> None:
        rows = cast("list[TicketFields]", ["x", ticket_fields(), 5])
        refused, receipt, _ = receipts = list(shop.publish_many(rows))
        assert [receipt.status for receipt in receipts] == ["rejected", "accepted", "rejected"]
        assert (refused.field, refused.reason) == (None, "must be an object with named fields")
        assert receipt.entry_id

    def test_receipts_that_nobody_reads_warn_that_nothing_was_sent(self, shop: Client, inbox: Inbox) -> None:
        with pytest.warns(RuntimeWarning, match="iterate over it"):
            shop.publish_many([ticket_fields()])
        with pytest.warns(RuntimeWarning, match="iterate over it"):
            AsyncClient(URL, "trg_any").publish_many([ticket_fields()])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            shop.publish(**ticket_fields())
        assert len(waiting_payloads(inbox)) == 1

    def test_batches_stay_under_the_gateway_s_limit(self) -> None:
        large = [ticket_fields(text="x" * 90_000) for _ in range(100)]
        sizes = [sum(map(len, filter(None, batch))) for batch in client_protocol.batches(large)]  # type: ignore[arg-type]
        assert len(sizes) > 1
        assert max(sizes) <= 4_000_000

    def test_a_batch_whose_response_was_lost_is_sent_again_and_put_once(
        self, opened: Services, key: str, inbox: Inbox
    ) -> None:
        rows = [ticket_fields(external_id=str(number)) for number in range(10)]
        receipts = list(lossy_client(opened, key, times=2).publish_many(rows))
        assert [receipt.status for receipt in receipts] == ["accepted"] * 10
        assert len(waiting_payloads(inbox)) == 10

    def test_a_gateway_that_stays_unavailable_raises(self, opened: Services, key: str) -> None:
        with pytest.raises(GatewayUnavailable, match=r"gateway at http:.* does not answer .*: is it running"):
            lossy_client(opened, key, times=99).publish(**ticket_fields())

    def test_a_full_inbox_is_retried_after_the_time_that_it_names(
        self, database: Database, inbox: Inbox, key: str
    ) -> None:
        full = Inbox(inbox.redis, InboxSettings(live_high_water=1))
        waits = list[float]()

        def drain(seconds: float) -> None:
            waits.append(seconds)
            inbox.ack(inbox.fetch(Lane.LIVE, "worker", 10))

        app = TestClient(create_app(services(database, full)))
        client = Client(URL, key, http=app, sleep=drain)
        for _ in range(2):
            assert client.publish(**ticket_fields()).status == "accepted"
        assert waits == [5.0]
        with pytest.raises(InboxFull, match="lane is full"):
            Client(URL, key, http=app, sleep=lambda _: None).publish(**ticket_fields())


class TestRead:
    def test_a_ticket_comes_with_its_text_label_and_reviews(self, shop: Client, database: Database) -> None:
        write_window(database, [result("../a/b?c#d", source="crm", text="ação")])
        insert_review(database, "../a/b?c#d", "suporte", text="ação")
        detail = shop.ticket("crm", "../a/b?c#d")
        assert detail is not None
        assert (detail.text, detail.label, detail.reviews[0].reviewer) == ("ação", "suporte", "ana")

    @pytest.mark.parametrize("name", [".", "..", "...", "a%2Fb"])
    def test_ids_that_a_url_path_would_normalise_are_found(self, shop: Client, database: Database, name: str) -> None:
        write_window(database, [result(name, source="crm")])
        detail = shop.ticket("crm", name)
        assert detail is not None
        assert detail.external_id == name

    def test_an_unknown_ticket_is_none(self, shop: Client) -> None:
        assert shop.ticket("crm", "none") is None

    def test_results_are_read_to_the_end(
        self, shop: Client, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_protocol, "_MAX_ROWS", 2)
        write_window(database, [result(str(number)) for number in range(5)])
        write_window(database, [result("other", source="other")])
        assert sorted(row.external_id for row in shop.results(source="zendesk")) == list("01234")
        assert list(shop.results(since=NOW + timedelta(seconds=1))) == []

    def test_a_missing_key_raises(self, opened: Services) -> None:
        with pytest.raises(AccessDenied, match="an API key is required"):
            Client(URL, http=TestClient(create_app(opened))).ticket("crm", "1")

    @pytest.mark.parametrize("url", ["127.0.0.1:8000", "localhost:8000", "redis://127.0.0.1"])
    def test_a_url_without_http_is_refused_before_anything_is_sent(self, url: str) -> None:
        with pytest.raises(InvalidInput, match="must begin with http://"):
            Client(url, "trg_any")

    def test_a_key_that_does_not_exist_raises_and_is_called_unknown(self, opened: Services) -> None:
        with pytest.raises(AccessDenied, match="this API key is unknown, revoked or expired"):
            Client(URL, "trg_wrong", http=TestClient(create_app(opened))).ticket("crm", "1")

    def test_an_invalid_filter_raises(self, shop: Client) -> None:
        with pytest.raises(InvalidInput, match="band"):
            list(shop.results(band="none"))

    def test_another_kind_of_server_raises(self, key: str) -> None:
        other = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, text="<html>")))
        with pytest.raises(GatewayUnavailable, match="not Triagem's gateway"):
            Client(URL, key, http=other).ticket("crm", "1")


class TestPredict:
    def test_a_text_is_answered_even_if_it_takes_longer(
        self, opened: Services, key: str, endpoints: Endpoints, instant_models: Path, inbox: Inbox
    ) -> None:
        def pause(_: float) -> None:
            with running(endpoints, instant_models):
                until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0)

        client = Client(URL, key, http=TestClient(create_app(opened)), sleep=pause)
        assert client.predict("minha internet caiu agora") == PredictResponse(class_name="suporte", confidence=0.9)

    def test_without_an_answer_it_times_out(self, shop: Client) -> None:
        with pytest.raises(GatewayUnavailable, match="no answer within 1 s"):
            shop.predict("minha internet caiu", wait_s=1)

    def test_invalid_text_is_refused(self, shop: Client) -> None:
        with pytest.raises(InvalidInput, match="raw data as a unicode string"):
            shop.predict("\ud800")


def test_the_async_client_does_the_same(opened: Services, key: str, inbox: Inbox, database: Database) -> None:
    write_window(database, [result("known", source="crm")])

    async def session() -> None:
        transport = httpx2.ASGITransport(app=create_app(opened))
        async with AsyncClient(URL, key, http=httpx2.AsyncClient(transport=transport)) as client:
            assert (await client.publish(**ticket_fields())).status == "accepted"
            statuses = [
                receipt.status
                async for receipt in client.publish_many([ticket_fields(text=""), ticket_fields(external_id="2")])
            ]
            assert statuses == ["rejected", "accepted"]
            detail = await client.ticket("crm", "known")
            assert detail is not None
            assert detail.label == "venda"
            assert [row.external_id async for row in client.results()] == ["known"]
            with pytest.raises(GatewayUnavailable):
                await client.predict("minha internet caiu", wait_s=0.5)

    asyncio.run(session())
    assert len(waiting_payloads(inbox)) == 3
