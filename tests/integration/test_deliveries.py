"""The outbox of what goes back to CRMs: what is written into it, and what becomes of it."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.delivery import crm_file, delivery_states, make_due, verified_data
from tests.support.receiver import ReceivedRequest
from tests.support.windows import doubtful, result
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database
from triagem.db.deliveries import DeliveryState, lease_result, mark_delivery, sync_result_targets
from triagem.db.reviews import ReviewRef, record_review, undo_review
from triagem.db.window import write_window
from triagem.outgoing import Delivered, Request, Retry, SendResult, Undeliverable
from triagem.outgoing.dispatch import MAX_ATTEMPTS, AttemptState
from triagem.producer.crm import CrmConfig, load_crm_file
from triagem.producer.result_delivery import deliver as telling

ANSWERED: Any = {"source": "freshdesk"}
Send = Callable[[Request], SendResult]


@pytest.fixture
def crm(tmp_path: Path) -> CrmConfig:
    """Freshdesk and Salesforce are called back, the others are not."""
    return load_crm_file(crm_file(tmp_path, callback="http://127.0.0.1:1"))


@pytest.fixture
def asked(database: Database, crm: CrmConfig) -> Database:
    """A database that knows whose results are to be told."""
    sync_result_targets(database, crm.targets)
    return database


class Sends:
    """Notes what it is to send, and answers as told."""

    def __init__(self, verdict: SendResult = Delivered()) -> None:  # noqa: B008 - frozen
        self.verdict, self.sent = verdict, list[Request]()

    def __call__(self, request: Request) -> SendResult:
        self.sent.append(request)
        return self.verdict

    @property
    def told(self) -> list[dict[str, Any]]:
        """What was told, signatures checked."""
        return [verified_data(ReceivedRequest(one.method, one.url, one.headers, one.body)) for one in self.sent]


def tell(database: Database, crm: CrmConfig, send: Send) -> Counter[AttemptState]:
    """One run of the task."""
    return telling.deliver_due(database, crm, send, jitter=lambda: 0.0)


class TestWhatIsWritten:
    def test_a_live_result_of_a_source_that_is_called_back(self, asked: Database) -> None:
        write_window(asked, [result(**ANSWERED), result(source="elsewhere")])
        assert delivery_states(asked) == [("freshdesk.callback", "waiting", 0)]

    def test_an_import_is_not_told(self, asked: Database) -> None:
        write_window(asked, [result(lane=Lane.BULK, **ANSWERED)])
        assert delivery_states(asked) == []

    def test_the_same_text_by_the_same_model_is_told_once_however_often_it_comes(self, asked: Database) -> None:
        """INV-24: our own tag makes the CRM say "updated"."""
        write_window(asked, [result(**ANSWERED)])
        write_window(asked, [result(minute=5, **ANSWERED)])
        write_window(asked, [result(minute=5, lane=Lane.BULK, **ANSWERED)])
        assert len(delivery_states(asked)) == 1

    def test_another_text_is_told_and_a_text_that_is_edited_back_is_not_told_again(self, asked: Database) -> None:
        for minute, words in enumerate("ABA"):
            write_window(asked, [result(words, minute=minute, **ANSWERED)])
        assert len(delivery_states(asked)) == 2

    def test_an_older_text_that_comes_late_is_not_told(self, asked: Database) -> None:
        write_window(asked, [result("B", minute=1, **ANSWERED)])
        write_window(asked, [result("A", minute=0, **ANSWERED)])
        assert len(delivery_states(asked)) == 1

    def test_who_is_not_asked_for_any_more_is_told_nothing(self, asked: Database) -> None:
        sync_result_targets(asked, {})
        write_window(asked, [result(**ANSWERED)])
        assert delivery_states(asked) == []

    def test_a_source_with_two_targets_has_a_delivery_for_each(self, database: Database) -> None:
        sync_result_targets(database, {"zendesk.tags": "zendesk", "zendesk.callback": "zendesk"})
        write_window(database, [result()])
        assert sorted(target for target, *_ in delivery_states(database)) == ["zendesk.callback", "zendesk.tags"]


class TestWhatIsTold:
    def test_the_answer_once(self, asked: Database, crm: CrmConfig) -> None:
        write_window(asked, [result(**ANSWERED)])
        send = Sends()
        assert tell(asked, crm, send) == {DeliveryState.DELIVERED: 1}
        assert not tell(asked, crm, send)
        (told,) = send.told
        assert (told["source"], told["external_id"], told["label"], told["band"], told["reviewed"]) == (
            "freshdesk", "4711", "venda", "automate", False,
        )  # fmt: skip

    def test_what_fails_is_told_later_with_the_same_id(self, asked: Database, crm: CrmConfig) -> None:
        write_window(asked, [result(**ANSWERED)])
        send = Sends(Retry("answered 503"))
        for _ in range(2):
            assert tell(asked, crm, send) == {DeliveryState.WAITING: 1}
            assert not tell(asked, crm, send)  # not due yet
            make_due(asked)
        send.verdict = Delivered()
        tell(asked, crm, send)
        assert delivery_states(asked) == [("freshdesk.callback", "delivered", 3)]
        assert len({told["id"] for told in send.told}) == 1

    def test_a_receiver_that_asks_for_time_gets_it(self, asked: Database, crm: CrmConfig) -> None:
        write_window(asked, [result(**ANSWERED)])
        tell(asked, crm, Sends(Retry("answered 429", after_s=900)))
        with asked.autocommit() as connection:
            next_at = connection.execute(text("SELECT next_at FROM deliveries")).scalar_one()
        assert next_at > datetime.now(UTC) + timedelta(seconds=800)

    def test_after_a_day_of_attempts_it_is_given_up(self, asked: Database, crm: CrmConfig) -> None:
        write_window(asked, [result(**ANSWERED)])
        send = Sends(Retry("answered 503"))
        for _ in range(MAX_ATTEMPTS + 1):
            tell(asked, crm, send)
            make_due(asked)
        assert delivery_states(asked) == [("freshdesk.callback", "failed", MAX_ATTEMPTS)]
        assert len(send.sent) == MAX_ATTEMPTS

    def test_what_is_refused_is_given_up_at_once(self, asked: Database, crm: CrmConfig) -> None:
        write_window(asked, [result(**ANSWERED)])
        assert tell(asked, crm, Sends(Undeliverable("answered 410"))) == {DeliveryState.FAILED: 1}

    def test_a_target_that_is_gone_from_the_file_is_given_up(self, asked: Database) -> None:
        write_window(asked, [result(**ANSWERED)])
        send = Sends()
        assert tell(asked, CrmConfig({}), send) == {DeliveryState.FAILED: 1}
        assert send.sent == []

    def test_a_result_that_a_newer_text_has_overtaken_is_not_told(self, asked: Database, crm: CrmConfig) -> None:
        write_window(asked, [result("A", **ANSWERED)])
        write_window(asked, [result("B", minute=1, lane=Lane.BULK, **ANSWERED)])
        send = Sends()
        assert tell(asked, crm, send) == {DeliveryState.SUPERSEDED: 1}
        assert send.sent == []

    def test_of_two_answers_the_newer_is_told_however_late(self, asked: Database, crm: CrmConfig) -> None:
        write_window(asked, [result("A", label="suporte", **ANSWERED)])
        tell(asked, crm, Sends(Retry("answered 503")))
        write_window(asked, [result("B", minute=1, **ANSWERED)])
        send = Sends()
        tell(asked, crm, send)
        make_due(asked)
        tell(asked, crm, send)
        assert [told["label"] for told in send.told] == ["venda"]
        assert [state for _, state, _ in delivery_states(asked)] == ["superseded", "delivered"]

    def test_while_one_answer_is_on_its_way_the_next_about_that_ticket_waits(self, asked: Database) -> None:
        """Two requests at once may arrive in the other order, and the older would hold."""
        write_window(asked, [result("A", **ANSWERED)])
        first = lease_result(asked, "freshdesk.callback")
        write_window(asked, [result("B", minute=1, **ANSWERED)])
        assert first
        assert lease_result(asked, "freshdesk.callback") is None
        mark_delivery(asked, first, DeliveryState.DELIVERED)
        assert lease_result(asked, "freshdesk.callback")


class TestAVerdict:
    WHOSE = Identity("freshdesk", "4711")

    def verdict(self, database: Database, label: str | None) -> ReviewRef:
        found = record_review(database, self.WHOSE, label, "ana")
        assert isinstance(found, ReviewRef)
        return found

    def test_after_the_delivery_is_told_with_an_id_of_its_own(self, asked: Database, crm: CrmConfig) -> None:
        write_window(asked, [doubtful(**ANSWERED)])
        send = Sends()
        tell(asked, crm, send)
        verdict = self.verdict(asked, "suporte")
        tell(asked, crm, send)
        undo_review(asked, verdict)
        tell(asked, crm, send)
        assert [(told["label"], told["band"], told["reviewed"]) for told in send.told] == [
            ("venda", "review", False), ("suporte", "automate", True), ("venda", "review", False),
        ]  # fmt: skip
        assert len({told["id"] for told in send.told}) == 3

    def test_before_the_delivery_is_what_is_told(self, asked: Database, crm: CrmConfig) -> None:
        write_window(asked, [doubtful(**ANSWERED)])
        self.verdict(asked, "suporte")
        send = Sends()
        tell(asked, crm, send)
        make_due(asked)
        tell(asked, crm, send)
        assert [told["label"] for told in send.told] == ["suporte"]

    def test_stands_when_another_model_has_classified_the_text_since(self, asked: Database, crm: CrmConfig) -> None:
        write_window(asked, [doubtful(**ANSWERED)])
        tell(asked, crm, Sends())
        self.verdict(asked, "suporte")
        write_window(asked, [result(model="v1.1.0", epoch=2, lane=Lane.BULK, **ANSWERED)])
        send = Sends()
        tell(asked, crm, send)
        assert [(told["label"], told["model_version"]) for told in send.told] == [("suporte", "v1.1.0")]

    def test_on_a_ticket_that_nobody_is_told_of_is_not_told(self, asked: Database) -> None:
        write_window(asked, [result(lane=Lane.BULK, **ANSWERED)])
        self.verdict(asked, "suporte")
        assert delivery_states(asked) == []


class TestManyAtOnce:
    def test_each_is_sent_once_by_two_workers_at_once(self, asked: Database, crm: CrmConfig, endpoints: Any) -> None:
        write_window(asked, [result(external_id=str(one), **ANSWERED) for one in range(60)])
        send = Sends()

        def run(_: int) -> None:
            with Database(endpoints.database_url) as own:
                tell(own, crm, send)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, range(2)))
        assert Counter(told["external_id"] for told in send.told) == Counter(map(str, range(60)))

    def test_a_target_that_does_not_answer_keeps_no_other_waiting(self, asked: Database, crm: CrmConfig) -> None:
        stuck = [result(external_id=str(one), **ANSWERED) for one in range(20)]
        write_window(asked, [*stuck, result(external_id="quick", source="salesforce")])
        quick, given = threading.Event(), list[str]()

        def send(request: Request) -> SendResult:
            if b"quick" in request.body:
                quick.set()
                return Delivered()
            assert quick.wait(20), "it waited for the others"
            given.append(request.url)
            return Retry("ReadTimeout")

        done = tell(asked, crm, send)
        assert done["delivered"] == 1
        assert 0 < len(given) <= 4  # who does not answer is asked no further in this run
