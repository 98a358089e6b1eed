"""POST /predict and GET /health, as the seed has them, over the pipe with an engine that answers at once."""

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
from triagem.cli.stack import Endpoints
from triagem.contracts.errors import InvalidTicket
from triagem.contracts.ticket import PREDICT_SOURCE, Identity, Lane
from triagem.db import Database
from triagem.db.api_keys import Scope
from triagem.db.forgetting import write_tombstone
from triagem.db.retention import delete_source_tickets
from triagem.db.reviews import model_accuracy
from triagem.db.window import write_window
from triagem.gateway.services import Services
from triagem.inbox import Inbox
from triagem.inbox.lease import Lease
from triagem.worker.tasks import sweep

TEXT = "minha internet caiu agora"  # an even number of words: the instant engine says `suporte`


@pytest.fixture
def opened(database: Database, inbox: Inbox, instant_models: Path) -> Services:
    return services(database, inbox, models=instant_models, predict_wait_s=20)


@pytest.fixture
def worker(endpoints: Endpoints, instant_models: Path) -> Iterator[None]:
    with running(endpoints, instant_models) as (pipeline, _):
        assert pipeline.models.ready.wait(10)
        yield


@pytest.mark.usefixtures("worker")
class TestWithAWorker:
    def test_a_text_is_answered_with_its_class_and_confidence(self, opened: Services) -> None:
        answer = client(opened).post("/predict", json={"text": TEXT})
        assert answer.status_code == 200
        assert answer.json() == {"class_name": "suporte", "confidence": pytest.approx(0.9, abs=0.2)}

    def test_many_who_wait_are_each_told_their_own(self, opened: Services) -> None:
        texts = [TEXT, "quero comprar o plano anual"] * 16
        with client(opened) as shared, ThreadPoolExecutor(32) as callers:
            said = list(callers.map(lambda text: shared.post("/predict", json={"text": text}).json(), texts))
        assert [one["class_name"] for one in said] == ["suporte", "venda"] * 16

    def test_the_same_text_twice_is_two_questions(self, opened: Services, database: Database) -> None:
        for _ in range(2):
            client(opened).post("/predict", json={"text": TEXT})
        assert stored(database) == 2

    def test_whatever_stands_around_the_gateway_lives(self, opened: Services) -> None:
        answer = client(opened).get("/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})

    def test_hostile_texts_are_texts(self, opened: Services) -> None:
        caller = client(opened)
        for text in ("\0", "'; DROP TABLE tickets; --", "\u202e🎫", "<b>x</b>", "x" * 100_000):
            assert caller.post("/predict", json={"text": text}).status_code == 200


class TestWithoutAWorker:
    @pytest.fixture
    def opened(self, database: Database, inbox: Inbox, instant_models: Path) -> Services:
        return services(database, inbox, models=instant_models, predict_wait_s=0.05)

    def test_it_is_accepted_and_can_be_asked_for_later_without_a_key(
        self, opened: Services, endpoints: Endpoints, instant_models: Path, database: Database
    ) -> None:
        caller = client(opened)
        accepted = caller.post("/predict", json={"text": TEXT})
        assert accepted.status_code == 202
        where = accepted.headers["location"]
        assert accepted.json() == {"ask": where}
        assert caller.get(where).status_code == 404
        with running(endpoints, instant_models, window_s=0.1):
            until(lambda: stored(database) == 1)
        assert caller.get(where).json()["class_name"] == "suporte"

    def test_it_goes_through_the_live_lane(self, opened: Services, inbox: Inbox) -> None:
        client(opened).post("/predict", json={"text": TEXT})
        assert inbox.depth(Lane.LIVE).waiting == 1
        assert TEXT.encode() in waiting_payloads(inbox)[0]

    @pytest.mark.parametrize(
        "body", [b'{"text": ""}', b'{"text": " \\n"}', b'{"text": "\\ud800"}', b'{"text": 1}', b"{}", b"no json"]
    )
    def test_what_is_no_text_is_refused(self, opened: Services, inbox: Inbox, body: bytes) -> None:
        answer = client(opened).post("/predict", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert waiting_payloads(inbox) == []

    def test_off_loopback_it_needs_a_key_that_may_enqueue(
        self, database: Database, inbox: Inbox, instant_models: Path
    ) -> None:
        public = services(database, inbox, models=instant_models, host="0.0.0.0", predict_wait_s=0)
        asked = {"text": TEXT}
        assert client(public).post("/predict", json=asked).status_code == 401
        assert client(public, Scope.READ).post("/predict", json=asked).status_code == 403
        assert client(public, Scope.ENQUEUE).post("/predict", json=asked).status_code == 202

    @pytest.mark.parametrize(("said", "status"), [(True, 202), (False, 401)])
    def test_a_setting_says_otherwise(
        self, database: Database, inbox: Inbox, instant_models: Path, said: bool, status: int
    ) -> None:
        host = "0.0.0.0" if said else "127.0.0.1"
        made = services(database, inbox, models=instant_models, host=host, open_predict=said, predict_wait_s=0)
        assert client(made).post("/predict", json={"text": TEXT}).status_code == status

    def test_an_id_that_nobody_has_is_a_problem(self, opened: Services) -> None:
        assert client(opened).get(f"/predict/{secrets.token_hex(16)}").status_code == 404
        assert client(opened).get("/predict/T-1").status_code == 422

    def test_other_tickets_cannot_be_asked_for(self, opened: Services, database: Database) -> None:
        name = secrets.token_hex(16)
        write_window(database, [result(name)])
        assert client(opened).get(f"/predict/{name}").status_code == 404


class TestHealth:
    def test_without_a_worker_no_text_would_be_answered(self, opened: Services) -> None:
        answer = client(opened).get("/health")
        assert answer.status_code == 503
        assert "no worker" in answer.json()["detail"]

    def test_without_a_model_neither(self, database: Database, inbox: Inbox, tmp_path: Path) -> None:
        Lease(inbox.redis, 60).acquire()
        answer = client(services(database, inbox, models=tmp_path / "none")).get("/health")
        assert answer.status_code == 503
        assert "no current model" in answer.json()["detail"]

    def test_without_servers_it_says_so_and_the_gateway_itself_is_well(self, opened: Services) -> None:
        away = client(services(Database("postgresql://nobody@127.0.0.1:1/none"), opened.inbox))
        assert away.get("/health").status_code == 503
        assert (away.get("/health/live").status_code, away.get("/health/live").json()) == (200, {"status": "healthy"})


class TestNobodysTickets:
    """What came by /predict is answered; nobody is asked or told about it, and it is soon deleted."""

    def test_nobody_is_told_of_a_doubtful_one(self, database: Database) -> None:
        assert write_window(database, [doubtful(source=PREDICT_SOURCE)]).alerts == 0
        assert write_window(database, [doubtful(source="crm")]).alerts == 1

    def test_nobody_is_asked_about_it(self, database: Database) -> None:
        write_window(database, [unsure("1", source=PREDICT_SOURCE), unsure("2")])
        assert names(draw(database, random_share=0.5)) == ["2"]

    def test_it_does_not_count_among_the_texts_whose_share_is_estimated(self, database: Database) -> None:
        write_window(database, [sure(str(number)) for number in range(4)])
        draw(database, 4, random_share=1)
        for number in range(4):
            submit_review(database, str(number))
        before = model_accuracy(database, VERSION)
        write_window(database, [sure("probe", source=PREDICT_SOURCE)])
        assert before is not None
        assert model_accuracy(database, VERSION) == before

    def test_no_other_ticket_takes_its_place(self, opened: Services) -> None:
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
