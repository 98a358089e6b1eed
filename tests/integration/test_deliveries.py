"""The outbox of results for CRMs: which deliveries are written, and their outcomes."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.delivery import crm_file, delivery_states, make_due, verified_data
from tests.support.receiver import ReceivedRequest
from tests.support.runs import scalar
from tests.support.waiting import blocked, until
from tests.support.windows import doubtful, result
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database, runs
from triagem.db.outbox.deliveries import DeliveryState, lease_result, mark_delivery, sync_result_targets
from triagem.db.reviews import record_review, undo_review
from triagem.db.runs import RunPlan
from triagem.db.runs.pages import next_page, record_page
from triagem.db.runs.reclassification import ReclassifiedTicket, write_reclassified
from triagem.db.tickets.window import ClassifiedTicket, UnlabelledTicket, write_unlabelled, write_window
from triagem.notify.deliveries import MAX_ATTEMPTS, deliver_due
from triagem.notify.request import Delivered, Request, Retry, SendResult, Undeliverable
from triagem.ops.verify import verify_tables
from triagem.producer.crm import CrmConfig, load_crm_file
from triagem.stack import Endpoints

FRESHDESK: Any = {"source": "freshdesk"}
Send = Callable[[Request], SendResult]


@pytest.fixture
def crm(tmp_path: Path) -> CrmConfig:
    """Freshdesk and Salesforce are called back, the others are not."""
    return load_crm_file(crm_file(tmp_path, callback="http://127.0.0.1:1"))


@pytest.fixture
def subscribed(database: Database, crm: CrmConfig) -> Database:
    """A database that knows the CRM file's targets."""
    sync_result_targets(database, crm.targets)
    return database


class RecordingSender:
    """Records requests instead of sending them, and returns `answer`."""

    def __init__(self, answer: SendResult = Delivered()) -> None:  # noqa: B008 - frozen
        self.answer, self.sent = answer, list[Request]()

    def __call__(self, request: Request) -> SendResult:
        self.sent.append(request)
        return self.answer

    @property
    def results(self) -> list[dict[str, Any]]:
        """The results in the requests, after their signatures were checked."""
        return [
            verified_data(ReceivedRequest(request.method, request.url, request.headers, request.body))
            for request in self.sent
        ]


def deliver_once(database: Database, crm: CrmConfig, send: Send) -> Counter[DeliveryState]:
    """One run of the task."""
    return deliver_due(database, crm.destinations, send, jitter=lambda: 0.0)


def run_over_all(database: Database, plan: RunPlan, row: ClassifiedTicket) -> None:
    """A reclassification run that gives each stored ticket the result of `row`."""
    run = runs.start(database, plan)
    page = next_page(database, run)
    assert record_page(database, run, page)
    write_reclassified(
        database,
        [ReclassifiedTicket(ref, "done", row.prediction, row.classified_at, proved=row.proved) for ref in page.refs],
    )


class TestOutbox:
    def test_a_live_result_of_a_source_with_a_callback_is_written(self, subscribed: Database) -> None:
        write_window(subscribed, [result(**FRESHDESK), result(source="elsewhere")])
        assert delivery_states(subscribed) == [("freshdesk.callback", "waiting", 0)]

    def test_an_import_is_not_delivered(self, subscribed: Database) -> None:
        write_window(subscribed, [result(lane=Lane.BULK, **FRESHDESK)])
        assert delivery_states(subscribed) == []

    def test_a_result_of_a_version_without_a_proved_precision_is_not_delivered(self, subscribed: Database) -> None:
        write_window(subscribed, [replace(result(**FRESHDESK), proved=False)])
        assert delivery_states(subscribed) == []

    def test_the_same_text_by_the_same_model_is_delivered_once_however_often_it_comes(
        self, subscribed: Database, crm: CrmConfig
    ) -> None:
        """INV-24: Triagem's own tag makes the CRM send an "updated" webhook."""
        write_window(subscribed, [result(**FRESHDESK)])
        write_window(subscribed, [result(minute=5, **FRESHDESK)])
        deliver_once(subscribed, crm, RecordingSender())
        write_window(subscribed, [result(minute=6, **FRESHDESK)])
        write_window(subscribed, [result(minute=7, lane=Lane.BULK, **FRESHDESK)])
        assert delivery_states(subscribed) == [("freshdesk.callback", "delivered", 1)]

    def test_an_older_text_that_comes_late_is_not_delivered(self, subscribed: Database, crm: CrmConfig) -> None:
        write_window(subscribed, [result("B", minute=1, **FRESHDESK)])
        deliver_once(subscribed, crm, RecordingSender())
        write_window(subscribed, [result("A", minute=0, **FRESHDESK)])
        assert delivery_states(subscribed) == [("freshdesk.callback", "delivered", 1)]

    def test_a_removed_target_gets_no_delivery(self, subscribed: Database) -> None:
        sync_result_targets(subscribed, {})
        write_window(subscribed, [result(**FRESHDESK)])
        assert delivery_states(subscribed) == []

    def test_a_source_with_two_targets_has_a_delivery_for_each(self, database: Database) -> None:
        sync_result_targets(database, {"zendesk.tags": "zendesk", "zendesk.callback": "zendesk"})
        write_window(database, [result()])
        assert sorted(target for target, *_ in delivery_states(database)) == ["zendesk.callback", "zendesk.tags"]


class TestDelivery:
    def test_a_result_is_delivered_once(self, subscribed: Database, crm: CrmConfig) -> None:
        write_window(subscribed, [result(**FRESHDESK)])
        send = RecordingSender()
        assert deliver_once(subscribed, crm, send) == {DeliveryState.DELIVERED: 1}
        assert not deliver_once(subscribed, crm, send)
        (data,) = send.results
        assert (data["source"], data["external_id"], data["label"], data["band"], data["reviewed"]) == (
            "freshdesk", "4711", "venda", "automate", False,
        )  # fmt: skip

    def test_a_failed_attempt_is_retried_later_with_the_same_id(self, subscribed: Database, crm: CrmConfig) -> None:
        write_window(subscribed, [result(**FRESHDESK)])
        send = RecordingSender(Retry("answered 503"))
        for _ in range(2):
            assert deliver_once(subscribed, crm, send) == {DeliveryState.WAITING: 1}
            assert not deliver_once(subscribed, crm, send)  # not due yet
            make_due(subscribed)
        send.answer = Delivered()
        deliver_once(subscribed, crm, send)
        assert delivery_states(subscribed) == [("freshdesk.callback", "delivered", 3)]
        assert len({data["id"] for data in send.results}) == 1

    def test_the_receivers_retry_after_is_respected(self, subscribed: Database, crm: CrmConfig) -> None:
        write_window(subscribed, [result(**FRESHDESK)])
        deliver_once(subscribed, crm, RecordingSender(Retry("answered 429", after_s=900)))
        next_at = scalar(subscribed, "SELECT next_at FROM deliveries")
        assert next_at > datetime.now(UTC) + timedelta(seconds=800)

    def test_after_a_day_of_attempts_a_delivery_fails(self, subscribed: Database, crm: CrmConfig) -> None:
        write_window(subscribed, [result(**FRESHDESK)])
        send = RecordingSender(Retry("answered 503"))
        for _ in range(MAX_ATTEMPTS + 1):
            deliver_once(subscribed, crm, send)
            make_due(subscribed)
        assert delivery_states(subscribed) == [("freshdesk.callback", "failed", MAX_ATTEMPTS)]
        assert len(send.sent) == MAX_ATTEMPTS

    def test_a_refused_delivery_fails_at_once(self, subscribed: Database, crm: CrmConfig) -> None:
        write_window(subscribed, [result(**FRESHDESK)])
        assert deliver_once(subscribed, crm, RecordingSender(Undeliverable("answered 410"))) == {
            DeliveryState.FAILED: 1
        }

    def test_a_delivery_to_a_target_that_is_no_longer_in_the_file_fails(self, subscribed: Database) -> None:
        write_window(subscribed, [result(**FRESHDESK)])
        send = RecordingSender()
        assert deliver_once(subscribed, CrmConfig({}), send) == {DeliveryState.FAILED: 1}
        assert send.sent == []

    def test_of_two_results_the_newer_is_delivered_however_late(self, subscribed: Database, crm: CrmConfig) -> None:
        write_window(subscribed, [result("A", label="suporte", **FRESHDESK)])
        deliver_once(subscribed, crm, RecordingSender(Retry("answered 503")))
        write_window(subscribed, [result("B", minute=1, **FRESHDESK)])
        send = RecordingSender()
        deliver_once(subscribed, crm, send)
        make_due(subscribed)
        deliver_once(subscribed, crm, send)
        assert [data["label"] for data in send.results] == ["venda"]
        assert delivery_states(subscribed) == [("freshdesk.callback", "delivered", 1)]

    def test_while_a_result_is_in_flight_the_next_of_that_ticket_waits(self, subscribed: Database) -> None:
        """Two concurrent requests may arrive in reverse order, and the older label would stay."""
        write_window(subscribed, [result("A", **FRESHDESK)])
        first = lease_result(subscribed, "freshdesk.callback")
        write_window(subscribed, [result("B", minute=1, **FRESHDESK)])
        assert first
        assert lease_result(subscribed, "freshdesk.callback") is None
        mark_delivery(subscribed, first, DeliveryState.DELIVERED)
        second = lease_result(subscribed, "freshdesk.callback")
        assert second
        assert (second.revision, second.unchanged) == (2, False)

    def test_a_failure_of_a_replaced_result_does_not_delay_the_new_one(self, subscribed: Database) -> None:
        write_window(subscribed, [result("A", **FRESHDESK)])
        first = lease_result(subscribed, "freshdesk.callback")
        write_window(subscribed, [result("B", minute=1, **FRESHDESK)])
        assert first
        mark_delivery(subscribed, first, DeliveryState.FAILED)
        assert lease_result(subscribed, "freshdesk.callback")


class TestCurrentLabel:
    """INV-35: after any sequence the receiver holds the current label."""

    def test_an_edit_back_is_delivered_with_its_own_id(self, subscribed: Database, crm: CrmConfig) -> None:
        send = RecordingSender()
        for minute, (body, label) in enumerate(zip("ABA", ("suporte", "venda", "suporte"), strict=True)):
            write_window(subscribed, [result(body, minute=minute, label=label, **FRESHDESK)])
            deliver_once(subscribed, crm, send)
        assert [data["label"] for data in send.results] == ["suporte", "venda", "suporte"]
        assert len({data["id"] for data in send.results}) == 3

    def test_after_edits_while_the_receiver_is_down_it_gets_one_call_with_the_current_label(
        self, subscribed: Database, crm: CrmConfig
    ) -> None:
        for minute, (body, label) in enumerate(zip("ABA", ("suporte", "venda", "suporte"), strict=True)):
            write_window(subscribed, [result(body, minute=minute, label=label, **FRESHDESK)])
            deliver_once(subscribed, crm, RecordingSender(Retry("answered 503")))
        make_due(subscribed)
        send = RecordingSender()
        deliver_once(subscribed, crm, send)
        assert [data["label"] for data in send.results] == ["suporte"]

    def test_an_older_text_that_came_late_is_delivered_when_it_comes_again(
        self, subscribed: Database, crm: CrmConfig
    ) -> None:
        send = RecordingSender()
        for minute, body, label in ((5, "B", "venda"), (1, "A", "suporte"), (9, "A", "suporte")):
            write_window(subscribed, [result(body, minute=minute, label=label, **FRESHDESK)])
            deliver_once(subscribed, crm, send)
        assert [data["label"] for data in send.results] == ["venda", "suporte"]

    def test_an_import_that_changes_a_ticket_that_the_receiver_knows_is_delivered(
        self, subscribed: Database, crm: CrmConfig
    ) -> None:
        send = RecordingSender()
        write_window(subscribed, [result("A", label="suporte", **FRESHDESK)])
        deliver_once(subscribed, crm, send)
        write_window(subscribed, [result("B", minute=1, lane=Lane.BULK, **FRESHDESK)])
        deliver_once(subscribed, crm, send)
        assert [data["label"] for data in send.results] == ["suporte", "venda"]

    @pytest.mark.parametrize("windows", [[0, 1, 2], [0, 2, 1], [1, 0, 2], [(0, 1), 2], [(1, 2), 0], [(0, 1, 2)]])
    @pytest.mark.parametrize("live", [0, 1, 2])
    def test_the_current_label_is_delivered_whichever_text_of_the_ticket_came_live(
        self, subscribed: Database, crm: CrmConfig, windows: list[int | tuple[int, ...]], live: int
    ) -> None:
        """The last text equals an earlier one."""
        texts = [
            result(body, minute=minute, label=label, lane=Lane.LIVE if minute == live else Lane.BULK, **FRESHDESK)
            for minute, (body, label) in enumerate(zip("ABA", ("suporte", "venda", "suporte"), strict=True))
        ]
        send = RecordingSender()
        for window in windows:
            write_window(subscribed, [texts[index] for index in ([window] if isinstance(window, int) else window)])
            deliver_once(subscribed, crm, send)
        assert send.results[-1]["label"] == "suporte"

    def test_an_imported_text_is_delivered_when_it_comes_live(self, subscribed: Database, crm: CrmConfig) -> None:
        send = RecordingSender()
        for minute, lane in enumerate([Lane.BULK, Lane.LIVE, Lane.LIVE]):
            write_window(subscribed, [result(minute=minute, lane=lane, **FRESHDESK)])
            deliver_once(subscribed, crm, send)
        assert [data["label"] for data in send.results] == ["venda"]

    @pytest.mark.parametrize(("lane", "sent"), [(Lane.LIVE, 1), (Lane.BULK, 0)])
    def test_the_first_result_of_a_live_ticket_that_came_without_a_model_is_delivered(
        self, subscribed: Database, crm: CrmConfig, lane: Lane, sent: int
    ) -> None:
        row = result(lane=lane, **FRESHDESK)
        imported = UnlabelledTicket(row.ticket, row.digest, Lane.BULK, row.received_at, row.arrival)
        write_unlabelled(subscribed, [imported])
        write_unlabelled(subscribed, [replace(imported, lane=lane, arrival=row.arrival + 1)])
        run_over_all(subscribed, RunPlan("v1.0.0", 1), row)
        send = RecordingSender()
        deliver_once(subscribed, crm, send)
        assert [data["label"] for data in send.results] == ["venda"] * sent

    @pytest.mark.parametrize(("proved", "deliveries"), [(True, 1), (False, 0)])
    def test_a_run_of_a_version_without_a_proved_precision_delivers_nothing(
        self, subscribed: Database, *, proved: bool, deliveries: int
    ) -> None:
        row = replace(result(**FRESHDESK), proved=proved)
        write_unlabelled(
            subscribed, [UnlabelledTicket(row.ticket, row.digest, row.lane, row.received_at, row.arrival)]
        )

        run_over_all(subscribed, RunPlan("v1.0.0", 1), row)

        assert len(delivery_states(subscribed)) == deliveries

    def test_an_edit_without_a_model_is_delivered_with_its_first_result(
        self, subscribed: Database, crm: CrmConfig
    ) -> None:
        send = RecordingSender()
        write_window(subscribed, [result("A", label="suporte", **FRESHDESK)])
        deliver_once(subscribed, crm, send)
        row = result("B", minute=1, lane=Lane.BULK, **FRESHDESK)
        write_unlabelled(
            subscribed, [UnlabelledTicket(row.ticket, row.digest, row.lane, row.received_at, row.arrival)]
        )
        assert not [finding for _, finding in verify_tables(subscribed) if finding]
        run_over_all(subscribed, RunPlan("v1.0.0", 1), row)
        deliver_once(subscribed, crm, send)
        assert [data["label"] for data in send.results] == ["suporte", "venda"]

    def test_an_import_that_waits_for_a_run_that_notifies_is_delivered(
        self, subscribed: Database, crm: CrmConfig, endpoints: Endpoints
    ) -> None:
        """The import's statement starts before the run has queued the first delivery of the ticket."""
        send = RecordingSender()
        imported: Any = {"lane": Lane.BULK, **FRESHDESK}
        write_window(subscribed, [result(label="suporte", external_id=name, **imported) for name in ("1", "2")])
        edits = [result("B", minute=1, label="cobranca", external_id=name, **imported) for name in ("1", "2")]
        run = runs.start(subscribed, RunPlan("v1.1.0", 2, notify_flips=True))
        page = next_page(subscribed, run)
        assert record_page(subscribed, run, page)
        flipped = result(model="v1.1.0", **imported)
        with ThreadPoolExecutor(1) as pool, psycopg.connect(endpoints.database_url) as blocker:
            blocker.execute("SELECT FROM tickets WHERE external_id = '1' FOR UPDATE")
            edit = pool.submit(write_window, subscribed, edits)
            until(lambda: blocked(blocker) == 1)
            write_reclassified(
                subscribed, [ReclassifiedTicket(page.refs[1], "done", flipped.prediction, flipped.classified_at)]
            )
            deliver_once(subscribed, crm, send)
            blocker.rollback()
            edit.result()
        deliver_once(subscribed, crm, send)
        assert [data["label"] for data in send.results] == ["venda", "cobranca"]

    def test_the_same_label_by_a_new_version_is_not_sent_again(self, subscribed: Database, crm: CrmConfig) -> None:
        send = RecordingSender()
        write_window(subscribed, [result(**FRESHDESK)])
        deliver_once(subscribed, crm, send)
        write_window(subscribed, [result(model="v1.1.0", epoch=2, **FRESHDESK)])
        assert deliver_once(subscribed, crm, send) == {DeliveryState.DELIVERED: 1}
        assert len(send.sent) == 1

    def test_after_an_attempt_without_an_answer_the_previous_label_is_sent_again(
        self, subscribed: Database, crm: CrmConfig
    ) -> None:
        """The receiver may have applied the request."""
        send = RecordingSender()
        write_window(subscribed, [doubtful(**FRESHDESK)])
        deliver_once(subscribed, crm, send)
        review = record_review(subscribed, Identity("freshdesk", "4711"), "suporte", "ana")
        assert isinstance(review, int)
        assert lease_result(subscribed, "freshdesk.callback")  # then the process was killed
        undo_review(subscribed, review, "ana")
        make_due(subscribed)
        deliver_once(subscribed, crm, send)
        assert [data["label"] for data in send.results] == ["venda", "venda"]

    def test_18_000_changes_while_the_receiver_is_down_leave_one_row_for_each_ticket(
        self, subscribed: Database
    ) -> None:
        for revision in range(3):
            rows = [result(f"{revision}", minute=revision, external_id=str(n), **FRESHDESK) for n in range(6000)]
            write_window(subscribed, rows)
        assert scalar(subscribed, "SELECT count(*) FROM deliveries") == 6000


class TestVerdict:
    IDENTITY = Identity("freshdesk", "4711")

    def verdict(self, database: Database, label: str | None) -> int:
        review = record_review(database, self.IDENTITY, label, "ana")
        assert isinstance(review, int)
        return review

    def test_after_the_delivery_is_delivered_with_its_own_id(self, subscribed: Database, crm: CrmConfig) -> None:
        write_window(subscribed, [doubtful(**FRESHDESK)])
        send = RecordingSender()
        deliver_once(subscribed, crm, send)
        verdict = self.verdict(subscribed, "suporte")
        deliver_once(subscribed, crm, send)
        undo_review(subscribed, verdict, "ana")
        deliver_once(subscribed, crm, send)
        assert [(data["label"], data["band"], data["reviewed"]) for data in send.results] == [
            ("venda", "review", False), ("suporte", "automate", True), ("venda", "review", False),
        ]  # fmt: skip
        assert len({data["id"] for data in send.results}) == 3

    def test_before_the_delivery_replaces_the_prediction(self, subscribed: Database, crm: CrmConfig) -> None:
        write_window(subscribed, [doubtful(**FRESHDESK)])
        self.verdict(subscribed, "suporte")
        send = RecordingSender()
        deliver_once(subscribed, crm, send)
        make_due(subscribed)
        deliver_once(subscribed, crm, send)
        assert [data["label"] for data in send.results] == ["suporte"]

    def test_is_kept_when_another_model_has_classified_the_text_since(
        self, subscribed: Database, crm: CrmConfig
    ) -> None:
        write_window(subscribed, [doubtful(**FRESHDESK)])
        deliver_once(subscribed, crm, RecordingSender())
        self.verdict(subscribed, "suporte")
        write_window(subscribed, [result(model="v1.1.0", epoch=2, lane=Lane.BULK, **FRESHDESK)])
        send = RecordingSender()
        deliver_once(subscribed, crm, send)
        assert [(data["label"], data["model_version"]) for data in send.results] == [("suporte", "v1.1.0")]

    def test_on_a_ticket_without_a_delivery_is_not_delivered(self, subscribed: Database) -> None:
        write_window(subscribed, [result(lane=Lane.BULK, **FRESHDESK)])
        self.verdict(subscribed, "suporte")
        assert delivery_states(subscribed) == []


class TestExpiredLease:
    @pytest.mark.parametrize("late", [DeliveryState.DELIVERED, DeliveryState.FAILED])
    def test_only_a_success_counts_afterwards(self, subscribed: Database, late: DeliveryState) -> None:
        """INV-23: the receiver has the result, whichever process sent it."""
        write_window(subscribed, [result(**FRESHDESK)])
        first = lease_result(subscribed, "freshdesk.callback")
        make_due(subscribed)
        assert first
        assert lease_result(subscribed, "freshdesk.callback")

        mark_delivery(subscribed, first, late)

        expected = "delivered" if late is DeliveryState.DELIVERED else "waiting"
        assert delivery_states(subscribed) == [("freshdesk.callback", expected, 2)]


class TestManyAtOnce:
    def test_each_is_sent_once_by_two_workers_at_once(
        self, subscribed: Database, crm: CrmConfig, endpoints: Any
    ) -> None:
        write_window(subscribed, [result(external_id=str(number), **FRESHDESK) for number in range(60)])
        send = RecordingSender()

        def run(_: int) -> None:
            with Database(endpoints.database_url) as own:
                deliver_once(own, crm, send)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, range(2)))
        assert Counter(data["external_id"] for data in send.results) == Counter(map(str, range(60)))

    def test_a_target_that_does_not_answer_keeps_no_other_waiting(self, subscribed: Database, crm: CrmConfig) -> None:
        stuck = [result(external_id=str(number), **FRESHDESK) for number in range(20)]
        write_window(subscribed, [*stuck, result(external_id="quick", source="salesforce")])
        quick, attempted = threading.Event(), list[str]()

        def send(request: Request) -> SendResult:
            if b"quick" in request.body:
                quick.set()
                return Delivered()
            assert quick.wait(90), "it waited for the others"
            attempted.append(request.url)
            return Retry("ReadTimeout")

        done = deliver_once(subscribed, crm, send)
        assert done[DeliveryState.DELIVERED] == 1
        assert 0 < len(attempted) <= 4  # a target that does not answer is left for the next run
