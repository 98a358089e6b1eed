"""Alerts become messages: several in one, as the rules say, each once, whatever fails on the way."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.alerting import age_digests, load_rules
from tests.support.delivery import delivery_states, make_due
from tests.support.windows import doubtful, result, rows
from triagem.alerts.notify import send_due_alerts
from triagem.alerts.rendering import AlertMessage
from triagem.alerts.rules_file import AlertRules
from triagem.alerts.settings import Channel
from triagem.cli.stack import Endpoints
from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database
from triagem.db.alerts import DRIFT, RETRAINING_DUE, raise_alert, undelivered_alerts
from triagem.db.deliveries import drop_deliveries, list_deliveries, replay_deliveries
from triagem.db.forgetting import delete_related, write_tombstone
from triagem.db.window import write_window
from triagem.outgoing import Delivered, Retry, SendResult, Undeliverable
from triagem.outgoing.dispatch import AttemptState


class Sends:
    """Notes what it is to send, and answers as told."""

    def __init__(self, verdict: SendResult = Delivered()) -> None:  # noqa: B008 - frozen
        self.verdict, self.sent = verdict, list[AlertMessage]()

    def __call__(self, channel: Channel, message: AlertMessage) -> SendResult:
        self.sent.append(message)
        return self.verdict


def notify(
    database: Database, rules: AlertRules, send: Callable[[Channel, AlertMessage], SendResult]
) -> Counter[AttemptState]:
    """One run of the task."""
    return send_due_alerts(database, rules, send, jitter=lambda: 0.0)


@pytest.fixture
def rules(tmp_path: Path) -> AlertRules:
    """Doubtful tickets, and what the system says, by webhook."""
    return load_rules(tmp_path)


def many(number: int, **changes: Any) -> list[Any]:
    return [doubtful(external_id=str(one), **changes) for one in range(number)]


class TestOneMessage:
    def test_tells_of_all_that_waits(self, database: Database, rules: AlertRules) -> None:
        write_window(database, [*many(3), *many(2, source="freshdesk", label="suporte"), result(external_id="sure")])
        send = Sends()
        assert notify(database, rules, send) == {"delivered": 1}
        (message,) = send.sent
        assert message.data["tickets"] == 5
        assert message.data["counts"] == [
            {"source": "zendesk", "label": "venda", "tickets": 3},
            {"source": "freshdesk", "label": "suporte", "tickets": 2},
        ]

    def test_names_the_least_sure_few(self, database: Database, rules: AlertRules) -> None:
        write_window(database, [doubtful(external_id=str(n), confidence=0.69 - n / 100) for n in range(9)])
        send = Sends()
        notify(database, rules, send)
        named = [one["external_id"] for one in send.sent[0].data["least_sure"]]
        assert named == ["8", "7", "6", "5", "4"]

    def test_is_followed_by_none_until_the_window_is_over(self, database: Database, rules: AlertRules) -> None:
        send = Sends()
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

    def test_tells_nothing_twice(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(3))
        send = Sends()
        for _ in range(3):
            notify(database, rules, send)
            age_digests(database)
            write_window(database, many(3))
        assert len(send.sent) == 1

    def test_of_two_workers_at_once_one_makes_it(
        self, database: Database, rules: AlertRules, endpoints: Endpoints
    ) -> None:
        write_window(database, many(50))
        send = Sends()

        def run(_: int) -> None:
            with Database(endpoints.database_url) as own:
                notify(own, rules, send)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, range(4)))
        assert [message.data["tickets"] for message in send.sent] == [50]

    def test_about_an_import_or_a_nightly_run_is_not_made(self, database: Database, rules: AlertRules) -> None:
        """INV-24."""
        write_window(database, many(3, lane=Lane.BULK))
        send = Sends()
        notify(database, rules, send)
        assert send.sent == []


class TestARule:
    @pytest.mark.parametrize(
        ("words", "told"),
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
    def test_chooses_tickets(self, database: Database, tmp_path: Path, words: str, told: set[str]) -> None:
        write_window(
            database,
            [
                doubtful(external_id="a"),
                doubtful(external_id="b", label="suporte", confidence=0.5),
                doubtful(external_id="c", source="shop", band=Band.ABSTAIN, confidence=0.69),
            ],
        )
        send = Sends()
        notify(database, load_rules(tmp_path, f'[rules.one]\nchannels = ["team"]\n{words}'), send)
        assert {one["external_id"] for message in send.sent for one in message.data["least_sure"]} == told

    def test_chooses_what_the_system_says_by_its_kind(self, database: Database, rules: AlertRules) -> None:
        raise_alert(database, DRIFT, "v1.0.0", {"summary": "shifted"})
        raise_alert(database, RETRAINING_DUE, "v1.0.0", {"summary": "old"})
        send = Sends()
        notify(database, rules, send)
        (message,) = send.sent
        assert message.data["rule"] == "system"
        assert message.lines == ("retraining is due: old", "data drift: shifted")

    def test_has_messages_of_its_own(self, database: Database, tmp_path: Path) -> None:
        both = '[rules.all]\nchannels = ["team"]\n[rules.sales]\nchannels = ["team"]\nlabels = ["venda"]'
        write_window(database, many(2))
        send = Sends()
        notify(database, load_rules(tmp_path, both), send)
        assert {(one.data["rule"], one.data["tickets"]) for one in send.sent} == {("all", 2), ("sales", 2)}
        assert len({one.key for one in send.sent}) == 2

    def test_that_comes_later_is_told_what_nobody_was_asked_about(
        self, database: Database, rules: AlertRules
    ) -> None:
        write_window(database, many(2))
        send = Sends()
        notify(database, AlertRules({}), send)
        assert len(undelivered_alerts(database, limit=9)) == 2
        notify(database, rules, send)
        assert [message.data["tickets"] for message in send.sent] == [2]

    def test_that_is_gone_leaves_what_it_had_to_be_given_up(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(2))
        notify(database, rules, Sends(Retry("answered 503")))
        make_due(database)
        send = Sends()
        assert notify(database, AlertRules({}), send) == {"failed": 1}
        assert send.sent == []


class TestWhatFails:
    def test_is_tried_later_with_the_same_id(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(2))
        send = Sends(Retry("answered 503"))
        assert notify(database, rules, send) == {"waiting": 1}
        assert not notify(database, rules, send)  # not due yet
        make_due(database)
        send.verdict = Delivered()
        notify(database, rules, send)
        assert delivery_states(database) == [("doubtful.team", "delivered", 2)]
        assert len({message.key for message in send.sent}) == 1

    def test_holds_back_the_next_message_not_what_it_will_tell(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(1))
        send = Sends(Retry("answered 503"))
        notify(database, rules, send)
        for one in ("second", "third"):
            age_digests(database)
            write_window(database, [doubtful(external_id=one)])
            notify(database, rules, send)
        send.verdict = Delivered()
        make_due(database)
        for _ in range(2):
            notify(database, rules, send)
        assert [message.data["tickets"] for message in send.sent] == [1, 1, 2]
        assert undelivered_alerts(database, limit=9) == []

    def test_is_listed_when_it_is_given_up_and_can_be_replayed(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(2))
        send = Sends(Undeliverable("answered 410"))
        notify(database, rules, send)
        (listed,) = list_deliveries(database, limit=9)
        assert (listed.target, listed.about, listed.state, listed.last_error) == (
            "doubtful.team", "2 alerts", "failed", "answered 410",
        )  # fmt: skip
        assert len(undelivered_alerts(database, limit=9)) == 2
        send.verdict = Delivered()
        assert replay_deliveries(database, target="doubtful.team") == 1
        notify(database, rules, send)
        assert undelivered_alerts(database, limit=9) == []

    def test_can_be_dropped_and_stays_listed_as_an_alert(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(2))
        notify(database, rules, Sends(Undeliverable("answered 410")))
        assert drop_deliveries(database) == 1
        assert len(undelivered_alerts(database, limit=9)) == 2


class TestForgetting:
    def test_a_ticket_takes_it_out_of_messages_that_wait(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(2))
        send = Sends(Retry("answered 503"))
        notify(database, rules, send)
        forget(database, "0")
        make_due(database)
        notify(database, rules, send)
        assert [one["external_id"] for one in send.sent[-1].data["least_sure"]] == ["1"]

    def test_all_of_them_leaves_nothing_to_send(self, database: Database, rules: AlertRules) -> None:
        write_window(database, many(1))
        notify(database, rules, Sends(Retry("answered 503")))
        forget(database, "0")
        make_due(database)
        send = Sends()
        assert notify(database, rules, send) == {"superseded": 1}
        assert send.sent == []
        assert rows(database, "alert_notifications") == []


def forget(database: Database, external_id: str) -> None:
    whose = Identity("zendesk", external_id)
    write_tombstone(database, whose)
    delete_related(database, whose)
