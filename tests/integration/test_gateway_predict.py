"""POST /predict and GET /health of the original specification, over the pipeline with a no-op engine."""

import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery

from tests.support.builders import NOW
from tests.support.forgetting import waiting_payloads
from tests.support.gateway import client, services
from tests.support.pipeline import running, stored
from tests.support.results import names, result
from tests.support.reviewing import VERSION, draw, submit_review, sure, unsure
from tests.support.waiting import until
from tests.support.windows import doubtful, rows
from triagem.contracts.errors import CHECK_STORES, InvalidTicket
from triagem.contracts.ticket import PREDICT_SOURCE, Identity, Lane
from triagem.db import Database
from triagem.db.auth import Scope
from triagem.db.retention import delete_source_tickets
from triagem.db.reviews import model_accuracy
from triagem.db.tickets.forgetting import write_tombstone
from triagem.db.tickets.window import write_window
from triagem.gateway.services import Services
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.inbox.lease import AT_WORK, COLLECTING, Lease, pause
from triagem.ops.tasks import sweep
from triagem.registry.no_model import LOST_STEP
from triagem.stack import Endpoints

TEXT = "minha internet caiu agora"  # an even number of words: the no-op engine predicts `suporte`


@pytest.fixture
def opened(database: Database, inbox: Inbox, instant_models: Path) -> Services:
    return services(database, inbox, models=instant_models, predict_wait_s=20)


@pytest.fixture
def worker(endpoints: Endpoints, instant_models: Path) -> Iterator[None]:
    with running(endpoints, instant_models) as (pipeline, _):
        assert pipeline.models.ready.wait(90)
        yield


def test_an_unknown_query_parameter_is_refused(opened: Services, inbox: Inbox) -> None:
    answer = client(opened).post("/predict?lane=bulk", json={"text": TEXT})

    assert (answer.status_code, answer.json()["detail"]) == (422, "query: 'lane' is unknown; known: none")
    assert inbox.redis.xlen("triagem:{0}:live") == 0


@pytest.mark.usefixtures("worker")
class TestWithAWorker:
    def test_a_text_is_answered_with_its_class_and_confidence(self, opened: Services) -> None:
        answer = client(opened).post("/predict", json={"text": TEXT})
        assert answer.status_code == 200
        assert answer.json() == {"class_name": "suporte", "confidence": pytest.approx(0.9, abs=0.2)}

    def test_each_of_many_concurrent_callers_gets_its_own_answer(self, opened: Services) -> None:
        texts = [TEXT, "quero comprar o plano anual"] * 16
        with client(opened) as shared, ThreadPoolExecutor(32) as callers:
            predictions = list(callers.map(lambda text: shared.post("/predict", json={"text": text}).json(), texts))
        assert [prediction["class_name"] for prediction in predictions] == ["suporte", "venda"] * 16

    def test_the_same_text_twice_is_two_tickets(self, opened: Services, database: Database) -> None:
        for _ in range(2):
            client(opened).post("/predict", json={"text": TEXT})
        assert stored(database) == 2

    def test_health_is_200_with_all_servers_running(self, opened: Services) -> None:
        until(lambda: client(opened).get("/health").json() == {"status": "healthy"})

    def test_hostile_texts_are_classified_like_others(self, opened: Services) -> None:
        caller = client(opened)
        for text in ("\0", "'; DROP TABLE tickets; --", "\u202e🎫", "<b>x</b>", "x" * 100_000):
            assert caller.post("/predict", json={"text": text}).status_code == 200


class TestWithoutAWorker:
    @pytest.fixture
    def opened(self, database: Database, inbox: Inbox, instant_models: Path) -> Services:
        return services(database, inbox, models=instant_models, predict_wait_s=0.05)

    def test_it_is_accepted_and_can_be_fetched_later_without_a_key(
        self, opened: Services, endpoints: Endpoints, instant_models: Path, database: Database
    ) -> None:
        caller = client(opened)
        accepted = caller.post("/predict", json={"text": TEXT})
        assert accepted.status_code == 202
        location = accepted.headers["location"]
        assert accepted.json() == {"ask": location}
        assert caller.get(location).status_code == 404
        with running(endpoints, instant_models, window_s=0.1):
            until(lambda: stored(database) == 1)
        assert caller.get(location).json()["class_name"] == "suporte"

    def test_before_the_first_model_it_is_503_as_health_says(self, opened: Services, inbox: Inbox) -> None:
        lease = Lease(inbox.redis, 60)
        lease.acquire()
        lease.report_state(COLLECTING)
        caller = client(opened)

        for _ in range(2):
            answer = caller.post("/predict", json={"text": TEXT})
            assert answer.status_code == 503
            assert answer.json()["detail"] == caller.get("/health").json()["detail"]
            pause(inbox.redis)
        assert answer.json()["detail"].startswith("paused: accepted texts wait until `triagem resume`; there is no")

    def test_health_and_predict_say_that_the_registry_lost_its_model(self, opened: Services, inbox: Inbox) -> None:
        lease = Lease(inbox.redis, 60)
        lease.acquire()
        lease.report_state(f"waiting: no current model in models, {LOST_STEP}")
        caller = client(opened)

        health, predict = caller.get("/health"), caller.post("/predict", json={"text": TEXT})

        assert (health.status_code, health.json()["status"], predict.status_code) == (200, "degraded", 503)
        assert health.json()["detail"] == predict.json()["detail"]
        assert health.json()["detail"].startswith(f"no current model in models, {LOST_STEP}")

    def test_before_the_first_model_a_repeated_request_stores_no_text_until_there_is_a_model(
        self, opened: Services, inbox: Inbox
    ) -> None:
        lease = Lease(inbox.redis, 60)
        lease.acquire()
        lease.report_state(COLLECTING)
        caller = client(opened)

        repeated = [caller.post("/predict", json={"text": TEXT}).status_code for _ in range(3)]
        stored_before = inbox.depth(Lane.LIVE).waiting
        lease.report_state(AT_WORK)
        later = caller.post("/predict", json={"text": TEXT}).status_code

        assert (repeated, stored_before) == ([503, 503, 503], 1)
        assert (later, inbox.depth(Lane.LIVE).waiting) == (202, 2)

    def test_it_goes_through_the_live_lane(self, opened: Services, inbox: Inbox) -> None:
        client(opened).post("/predict", json={"text": TEXT})
        assert inbox.depth(Lane.LIVE).waiting == 1
        assert TEXT.encode() in waiting_payloads(inbox)[0]

    @pytest.mark.parametrize(
        ("body", "detail"),
        [
            (b'{"text": ""}', "text: is empty"),
            (b'{"text": " \\n"}', "text: "),
            (b'{"text": "\\ud800"}', "text: "),
            (b'{"text": 1}', "text: must be text"),
            (b"{}", "text: is missing"),
            (b"[]", "body: must be an object with named fields"),
            (b"no json", "body: "),
        ],
    )
    def test_invalid_text_is_refused(self, opened: Services, inbox: Inbox, body: bytes, detail: str) -> None:
        answer = client(opened).post("/predict", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert answer.json()["detail"].startswith(detail)
        assert waiting_payloads(inbox) == []

    def test_off_loopback_it_needs_a_key_that_may_enqueue(
        self, database: Database, inbox: Inbox, instant_models: Path
    ) -> None:
        public = services(database, inbox, models=instant_models, host="0.0.0.0", predict_wait_s=0)
        body = {"text": TEXT}
        assert client(public).post("/predict", json=body).status_code == 401
        assert client(public, Scope.READ).post("/predict", json=body).status_code == 403
        assert client(public, Scope.ENQUEUE).post("/predict", json=body).status_code == 202

    @pytest.mark.parametrize(("open_predict", "status"), [(True, 202), (False, 401)])
    def test_a_setting_overrides_this(
        self, database: Database, inbox: Inbox, instant_models: Path, open_predict: bool, status: int
    ) -> None:
        host = "0.0.0.0" if open_predict else "127.0.0.1"
        configured = services(
            database, inbox, models=instant_models, host=host, open_predict=open_predict, predict_wait_s=0
        )
        assert client(configured).post("/predict", json={"text": TEXT}).status_code == status

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("localhost", 202),
            ("127.0.0.1:8000", 202),
            ("[::1]:8000", 202),
            ("evil.example", 401),
            ("[", 401),
            ("", 401),
        ],
    )
    def test_without_a_key_the_url_must_name_this_machine(
        self, database: Database, inbox: Inbox, host: str, status: int
    ) -> None:
        local = services(database, inbox, predict_wait_s=0)
        assert client(local).post("/predict", json={"text": TEXT}, headers={"Host": host}).status_code == status

    def test_an_unknown_id_is_404_and_an_invalid_one_422(self, opened: Services) -> None:
        assert client(opened).get(f"/predict/{secrets.token_hex(16)}").status_code == 404
        assert client(opened).get("/predict/T-1").status_code == 422

    def test_other_tickets_cannot_be_fetched(self, opened: Services, database: Database) -> None:
        name = secrets.token_hex(16)
        write_window(database, [result(name)])
        assert client(opened).get(f"/predict/{name}").status_code == 404


class TestHealth:
    def test_without_a_worker_it_is_503(self, opened: Services) -> None:
        answer = client(opened).get("/health")
        assert answer.status_code == 503
        assert "no worker" in answer.json()["detail"]

    @pytest.mark.parametrize(
        ("state", "expected"),
        [
            ("at work", ("degraded", "check its TRIAGEM_REGISTRY_URL; workers keep the model")),
            ("at work: check TRIAGEM_REGISTRY_URL; v1.0.0 keeps running", ("degraded", "v1.0.0 keeps running")),
            ("warming up", ("degraded", "texts wait until a worker has loaded the model")),
            ("collecting labels", ("collecting labels", "label messages at /console/start")),
        ],
    )
    def test_without_a_registry_it_says_what_the_worker_does(
        self, database: Database, inbox: Inbox, state: str, expected: tuple[str, str]
    ) -> None:
        lease = Lease(inbox.redis, 60)
        lease.acquire()
        lease.report_state(state)
        answer = client(services(database, inbox)).get("/health")
        assert (answer.status_code, answer.json()["status"]) == (200, expected[0])
        assert expected[1] in answer.json()["detail"]

    def test_paused_workers_are_named(self, opened: Services) -> None:
        lease = Lease(opened.inbox.redis, 60)
        lease.acquire()
        lease.report_state(AT_WORK)
        pause(opened.inbox.redis)
        answer = client(opened).get("/health").json()
        assert (answer["status"], answer["detail"][:7]) == ("degraded", "paused:")

    def test_a_full_live_lane_is_named_with_its_next_step(self, database: Database, inbox: Inbox) -> None:
        opened = services(database, Inbox(inbox.redis, InboxSettings(live_high_water=1)))
        lease = Lease(opened.inbox.redis, 60)
        lease.acquire()
        lease.report_state(AT_WORK)
        opened.inbox.put(Lane.LIVE, [b"x"])
        full = "the live lane is full (1 entries, TRIAGEM_LIVE_HIGH_WATER)"
        assert client(opened).get("/health").json() == {
            "status": "degraded",
            "detail": f"{full}: texts are refused until workers drain it",
        }
        pause(opened.inbox.redis)
        detail = client(opened).get("/health").json()["detail"]
        assert detail == f"paused, and {full}: texts are refused until `triagem resume`"

    def test_without_servers_it_is_503_and_the_gateway_is_live(self, opened: Services) -> None:
        unavailable = client(services(Database("postgresql://nobody@127.0.0.1:1/none"), opened.inbox))
        assert unavailable.get("/health").status_code == 503
        assert (unavailable.get("/health/live").status_code, unavailable.get("/health/live").json()) == (
            200,
            {"status": "healthy"},
        )

    def test_all_servers_that_do_not_answer_are_named_with_the_next_step(self) -> None:
        inbox = Inbox(connect("redis://127.0.0.1:1/0"))
        detail = (
            client(services(Database("postgresql://nobody@127.0.0.1:1/none"), inbox)).get("/health").json()["detail"]
        )
        assert re.match(
            rf"Postgres does not answer.*: {CHECK_STORES}; Redis does not answer.*: {CHECK_STORES}$", detail
        )


class TestPredictTickets:
    """Tickets of /predict get an answer but no alert and no review, and are deleted after an hour."""

    def test_an_unsure_one_raises_no_alert(self, database: Database) -> None:
        assert write_window(database, [doubtful(source=PREDICT_SOURCE)]).alerts == 0
        assert write_window(database, [doubtful(source="crm")]).alerts == 1

    def test_it_is_not_in_the_review_queue(self, database: Database) -> None:
        write_window(database, [unsure("1", source=PREDICT_SOURCE), unsure("2")])
        assert names(draw(database, random_share=0.5)) == ["2"]

    def test_it_does_not_change_the_estimated_accuracy(self, database: Database) -> None:
        write_window(database, [sure(str(number)) for number in range(4)])
        draw(database, 4, random_share=1)
        for number in range(4):
            submit_review(database, str(number))
        before = model_accuracy(database, VERSION)
        write_window(database, [sure("probe", source=PREDICT_SOURCE)])
        assert before is not None
        assert model_accuracy(database, VERSION) == before

    def test_its_source_is_reserved(self, opened: Services) -> None:
        with pytest.raises(InvalidTicket, match="source: 'predict' is reserved"):
            opened.publisher.publish(source=PREDICT_SOURCE, external_id="1", text=TEXT)

    def test_after_an_hour_all_of_it_is_deleted_and_nothing_else(self, database: Database) -> None:
        long_ago = NOW - timedelta(days=1)
        write_window(
            database,
            [result("old", source=PREDICT_SOURCE, received_at=long_ago), result("new", source=PREDICT_SOURCE)],
        )
        write_window(database, [result("old", source="crm", received_at=long_ago)])
        write_tombstone(database, Identity(PREDICT_SOURCE, "forgotten"))
        assert sum(delete_source_tickets(database, PREDICT_SOURCE, before=NOW - timedelta(hours=1))) == 1
        assert {(row["source"], row["external_id"]) for row in rows(database, "tickets")} == {
            (PREDICT_SOURCE, "new"),
            (PREDICT_SOURCE, "forgotten"),
            ("crm", "old"),
        }

    def test_an_ops_worker_deletes_it(self, database: Database) -> None:
        write_window(database, [result("old", source=PREDICT_SOURCE, received_at=NOW - timedelta(days=1))])
        app = Celery("test", set_as_current=False)
        app.database = database
        app.tasks[sweep.name]()
        assert stored(database) == 0
