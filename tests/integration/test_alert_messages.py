"""Alert messages: the rules group alerts into messages, and each alert is sent once even if a step fails."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.alerting import age_digests, load_rules
from tests.support.delivery import delivery_states, make_due
from tests.support.windows import doubtful, result, rows
from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database
from triagem.db.outbox.alerts import DRIFT, RETRAINING_DUE, newest_alerts, raise_alert
from triagem.db.outbox.deliveries import DeliveryState, drop_deliveries, list_deliveries, replay_deliveries
from triagem.db.tickets.forgetting import delete_related, write_tombstone
from triagem.db.tickets.window import write_window
from triagem.notify.alert_rendering import AlertMessage
from triagem.notify.alert_rules import AlertRules, Channel
from triagem.notify.deliveries import send_due_alerts
from triagem.notify.request import Delivered, Retry, SendResult, Undeliverable
from triagem.stack import Endpoints


class RecordingSender:
    """Records messages instead of sending them, and returns `answer`."""

    def __init__(self, answer: SendResult = Delivered()) -> None:  # noqa: B008 - frozen
        self.answer, self.sent = answer, list[AlertMessage]()

    def __call__(self, channel: Channel, message: AlertMessage) -> SendResult:
        self.sent.append(message)
        return self.answer


def notify(
    database: Database, rules: AlertRules, send: Callable[[Channel, AlertMessage], SendResult]
) -> Counter[DeliveryState]:
    """One run of the task."""
    return send_due_alerts(database, rules, send, jitter=lambda: 0.0)


@pytest.fixture
def rules(tmp_path: Path) -> AlertRules:
    """Rules that send alerts of unsure tickets and of the system by webhook."""
    return load_rules(tmp_path)


def many(number: int, **changes: Any) -> list[Any]:
    return [doubtful(external_id=str(index), **changes) for index in range(number)]


class TestMessage:
    def test_covers_all_waiting_alerts(self, database: Database, rules: AlertRules) -> None:
        write_window(database, [*many(3), *many(2, source="freshdesk", label="suporte"), result(external_id="sure")])
        send = RecordingSender()
        assert notify(database, rules, send) == {"delivered": 1}
        (message,) = send.sent
        assert message.data["tickets"] == 5
        assert message.data["counts"] == [
            {"source": "zendesk", "label": "venda", "tickets": 3},
            {"source": "freshdesk", "label": "suporte", "tickets": 2},
        ]

    def test_names_the_least_confident_tickets(self, database: Database, rules: AlertRules) -> None:
        write_window(database, [doubtful(external_id=str(n), confidence=0.69 - n / 100) for n in range(9)])
        send = RecordingSender()
        notify(database, rules, send)
        named = [ticket["external_id"] for ticket in send.sent[0].data["least_sure"]]
        assert named == ["8", "7", "6", "5", "4"]

    def test_has_no_label_of_a_ticket_without_a_decision(self, database: Database, rules: AlertRules) -> None:
        write_window(database, [doubtful(external_id="a", band=Band.ABSTAIN)])
        send = RecordingSender()
        notify(database, rules, send)
        data = send.sent[0].data
        assert [(row["label"], row["tickets"]) for row in data["counts"]] == [(None, 1)]
        assert data["least_sure"][0]["label"] is None

    def test_is_followed_by_none_until_the_window_is_over(self, database: Database, rules: AlertRules) -> None:
        send = RecordingSender()
        write_window(database, many(1))
        notify(database, rules, send)
        write_window(database, [doubtful(external_id="second")])
        write_window(database, [doubtful(external_id="third")])
        assert not notify(database, rules, send)
        age_digests(database, 299)
        assert not notify(database, rules, send)
        age_digests(database, 2)
        assert notify(database, rules, send) == {"delivered": 1}
        assert [message.data["tickets"] for message in send.sent] == [1, 2]

    def test_repeats_no_alert(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(3))
        send = RecordingSender()
        for _ in range(3):
            notify(database, rules, send)
            age_digests(database)
            write_window(database, many(3))
        assert len(send.sent) == 1

    def test_is_made_by_one_of_several_concurrent_workers(
        self, database: Database, rules: AlertRules, endpoints: Endpoints
    ) -> None:
        write_window(database, many(50))
        send = RecordingSender()

        def run(_: int) -> None:
            with Database(endpoints.database_url) as own:
                notify(own, rules, send)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, range(4)))
        assert [message.data["tickets"] for message in send.sent] == [50]

    def test_is_not_made_for_an_import_or_a_nightly_run(self, database: Database, rules: AlertRules) -> None:
        """INV-24."""
        write_window(database, many(3, lane=Lane.BULK))
        send = RecordingSender()
        notify(database, rules, send)
        assert send.sent == []


class TestRule:
    @pytest.mark.parametrize(
        ("conditions", "notified"),
        [
            ("", {"a", "b", "c"}),
            ('labels = ["suporte"]', {"b"}),
            ('sources = ["shop"]', {"c"}),
            ('bands = ["abstain"]', {"c"}),
            ("under = 0.55", {"b"}),
            ('kinds = ["drift"]', set()),
            ('kinds = ["drift", "low-confidence"]\nsources = ["zendesk"]\nunder = 0.65', {"a", "b"}),
        ],
    )
    def test_selects_tickets(self, database: Database, tmp_path: Path, conditions: str, notified: set[str]) -> None:
        write_window(
            database,
            [
                doubtful(external_id="a"),
                doubtful(external_id="b", label="suporte", confidence=0.5),
                doubtful(external_id="c", source="shop", band=Band.ABSTAIN, confidence=0.69),
            ],
        )
        send = RecordingSender()
        notify(database, load_rules(tmp_path, f'[rules.one]\nchannels = ["team"]\n{conditions}'), send)
        assert {ticket["external_id"] for message in send.sent for ticket in message.data["least_sure"]} == notified

    def test_selects_system_alerts_by_kind(self, database: Database, rules: AlertRules) -> None:
        raise_alert(database, DRIFT, "v1.0.0", {"summary": "shifted"})
        raise_alert(database, RETRAINING_DUE, "v1.0.0", {"summary": "old"})
        send = RecordingSender()
        notify(database, rules, send)
        (message,) = send.sent
        assert message.data["rule"] == "system"
        assert message.lines == (
            "retraining is due: old",
            "data drift: shifted",
            "  what to do: docs/how-to/runbook.md#triagemdrift",
        )

    def test_has_its_own_messages(self, database: Database, tmp_path: Path) -> None:
        both = '[rules.all]\nchannels = ["team"]\n[rules.sales]\nchannels = ["team"]\nlabels = ["venda"]'
        write_window(database, many(2))
        send = RecordingSender()
        notify(database, load_rules(tmp_path, both), send)
        assert {(message.data["rule"], message.data["tickets"]) for message in send.sent} == {
            ("all", 2),
            ("sales", 2),
        }
        assert len({message.key for message in send.sent}) == 2

    def test_that_is_added_later_gets_alerts_that_no_rule_has_matched(
        self, database: Database, rules: AlertRules
    ) -> None:
        write_window(database, many(2))
        send = RecordingSender()
        notify(database, AlertRules({}), send)
        assert len(newest_alerts(database, undelivered=True, limit=9)) == 2
        notify(database, rules, send)
        assert [message.data["tickets"] for message in send.sent] == [2]

    def test_that_is_removed_makes_its_waiting_deliveries_fail(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(2))
        notify(database, rules, RecordingSender(Retry("answered 503")))
        make_due(database)
        send = RecordingSender()
        assert notify(database, AlertRules({}), send) == {"failed": 1}
        assert send.sent == []


class TestFailedDelivery:
    def test_is_retried_later_with_the_same_id(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(2))
        send = RecordingSender(Retry("answered 503"))
        assert notify(database, rules, send) == {"waiting": 1}
        assert not notify(database, rules, send)  # not due yet
        make_due(database)
        send.answer = Delivered()
        notify(database, rules, send)
        assert delivery_states(database) == [("doubtful.team", "delivered", 2)]
        assert len({message.key for message in send.sent}) == 1

    def test_delays_the_next_message_but_loses_none_of_its_alerts(
        self, database: Database, rules: AlertRules
    ) -> None:
        write_window(database, many(1))
        send = RecordingSender(Retry("answered 503"))
        notify(database, rules, send)
        for external_id in ("second", "third"):
            age_digests(database)
            write_window(database, [doubtful(external_id=external_id)])
            notify(database, rules, send)
        send.answer = Delivered()
        make_due(database)
        for _ in range(2):
            notify(database, rules, send)
        assert [message.data["tickets"] for message in send.sent] == [1, 1, 2]
        assert newest_alerts(database, undelivered=True, limit=9) == []

    def test_is_listed_once_it_has_failed_and_can_be_replayed(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(2))
        send = RecordingSender(Undeliverable("answered 410"))
        notify(database, rules, send)
        (listed,) = list_deliveries(database, limit=9)
        assert (listed.target, listed.about, listed.state, listed.last_error) == (
            "doubtful.team", "2 alerts", "failed", "answered 410",
        )  # fmt: skip
        assert len(newest_alerts(database, undelivered=True, limit=9)) == 2
        send.answer = Delivered()
        assert replay_deliveries(database, target="doubtful.team") == 1
        notify(database, rules, send)
        assert newest_alerts(database, undelivered=True, limit=9) == []

    def test_can_be_dropped_and_stays_listed_as_an_alert(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(2))
        notify(database, rules, RecordingSender(Undeliverable("answered 410")))
        assert drop_deliveries(database) == 1
        assert len(newest_alerts(database, undelivered=True, limit=9)) == 2


class TestForgetting:
    def test_a_ticket_removes_it_from_waiting_messages(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(2))
        send = RecordingSender(Retry("answered 503"))
        notify(database, rules, send)
        forget(database, "0")
        make_due(database)
        notify(database, rules, send)
        assert [ticket["external_id"] for ticket in send.sent[-1].data["least_sure"]] == ["1"]

    def test_all_tickets_of_a_message_leaves_nothing_to_send(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(1))
        notify(database, rules, RecordingSender(Retry("answered 503")))
        forget(database, "0")
        make_due(database)
        send = RecordingSender()
        assert notify(database, rules, send) == {"superseded": 1}
        assert send.sent == []
        assert rows(database, "alert_notifications") == []


def forget(database: Database, external_id: str) -> None:
    identity = Identity("zendesk", external_id)
    write_tombstone(database, identity)
    delete_related(database, identity)
