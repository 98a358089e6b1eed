"""System checks on a real database and inbox, for live tickets only: one alert when a problem opens, and one when it
is resolved."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.support.alerting import load_rules
from tests.support.pipeline import publish, running, stored
from tests.support.waiting import until
from tests.support.windows import result, rows
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.outbox.alerts import newest_alerts
from triagem.db.outbox.monitoring import MonitorState, monitor_states, save_monitor_state
from triagem.db.tickets.dead_letters import insert_dead_letter, insert_webhook_dead_letter
from triagem.db.tickets.window import ClassifiedTicket, write_window
from triagem.inbox import Inbox
from triagem.inbox.lease import Lease, lease_key, pause, worker_memory
from triagem.notify.alert_rendering import AlertMessage
from triagem.notify.alert_rules import Channel
from triagem.notify.deliveries import send_due_alerts
from triagem.notify.monitor import MonitorSettings, check_system
from triagem.notify.request import Delivered, SendResult
from triagem.registry import Registry
from triagem.stack import Endpoints
from triagem.trainer.monitor.tasks import alert_if_drifted, alert_if_due
from triagem.trainer.settings import DueSettings

START = datetime.now(UTC)
QUIET = MonitorSettings(disabled_kinds=frozenset({"no-worker", "memory"}))


def tickets(number: int, *, waited: float = 0.1, ago: float = 1.0, **changes: Any) -> list[ClassifiedTicket]:
    """Results classified `ago` seconds ago, of tickets received `waited` seconds ago."""
    now = datetime.now(UTC)
    received_at, classified_at = now - timedelta(seconds=waited), now - timedelta(seconds=ago)
    results = [result(external_id=str(index), **changes) for index in range(number)]
    return [replace(row, received_at=received_at, classified_at=classified_at) for row in results]


def classified_before(
    database: Database, number: int, *, ago: float, source: str, latency_s: float = 0.1, confidence: float = 0.99
) -> None:
    """Stores results that were classified `ago` seconds ago."""
    write_window(database, tickets(number, source=source, confidence=confidence))
    with database.autocommit() as connection:
        connection.execute(
            text("""
                UPDATE predictions SET classified_at = now() - make_interval(secs => :ago), latency_s = :latency_s
                WHERE ticket_id IN (SELECT id FROM tickets WHERE source = :source)"""),
            {"ago": ago, "latency_s": latency_s, "source": source},
        )


def run_checks(database: Database, inbox: Inbox, number: int, settings: MonitorSettings = QUIET) -> list[str]:
    """Runs `number` checks at increasing times; returns the kinds that are open after the last one."""
    open_kinds: list[str] = []
    for index in range(number):
        now = max([state.checked_at or START for state in monitor_states(database).values()], default=START)
        open_kinds = check_system(
            database, inbox, settings, max(now + timedelta(microseconds=1 + index), datetime.now(UTC))
        )
    return open_kinds


def raised(database: Database) -> list[tuple[str, str]]:
    """Kind and state of each system alert, oldest first."""
    return [
        (alert.kind, (alert.detail or {})["state"])
        for alert in reversed(newest_alerts(database, undelivered=True, limit=99))
    ]


def test_an_alert_opens_after_two_bad_checks_and_is_resolved_after_three_good_ones(
    database: Database, inbox: Inbox
) -> None:
    write_window(database, tickets(20, waited=3))
    assert run_checks(database, inbox, 1) == []
    assert run_checks(database, inbox, 1) == ["latency"]
    run_checks(database, inbox, 3)
    assert raised(database) == [("latency", "open")]

    write_window(database, [*tickets(400, source="quick")])
    assert run_checks(database, inbox, 2) == ["latency"]
    assert run_checks(database, inbox, 1) == []
    assert raised(database) == [("latency", "open"), ("latency", "resolved")]

    (resolved, opened) = newest_alerts(database, undelivered=True, limit=9)
    assert opened.detail is not None
    assert opened.detail["summary"].startswith("live tickets are slow: 95% took up to 3")
    assert resolved.about.endswith(" resolved")


def test_it_can_open_again(database: Database, inbox: Inbox) -> None:
    for _ in range(2):
        publish(inbox, 1)
        run_checks(database, inbox, 2, MonitorSettings(oldest_s=1e-6, disabled_kinds=QUIET.disabled_kinds))
        inbox.redis.delete("triagem:{0}:live")
        inbox.create_groups()
        run_checks(database, inbox, 3)
    assert raised(database) == [("oldest-ticket", "open"), ("oldest-ticket", "resolved")] * 2


def test_imports_and_runs_are_not_monitored(database: Database, inbox: Inbox) -> None:
    """INV-24: system alerts and latency metrics count live tickets only."""
    write_window(database, tickets(50, waited=1000, lane=Lane.BULK, confidence=0.1))
    for index in range(20):
        insert_dead_letter(database, Lane.BULK, b"%d-0" % index, b"{}", "unreadable")
    assert run_checks(database, inbox, 3) == []
    assert {row["latency_s"] for row in rows(database, "predictions")} == {None}


def test_fifty_tickets_spread_over_a_day_are_enough_for_each_alert(database: Database, inbox: Inbox) -> None:
    for index in range(50):
        confidence, latency_s = (0.69, 3) if index % 4 == 0 else (0.99, 0.1)
        classified_before(
            database, 1, ago=index * 1700, source=f"crm-{index}", latency_s=latency_s, confidence=confidence
        )
    insert_dead_letter(database, Lane.LIVE, b"1-0", b"{}", "unreadable")
    run_checks(database, inbox, 2)
    assert set(raised(database)) == {("unsure-share", "open"), ("latency", "open"), ("error-rate", "open")}


def test_results_of_the_day_before_are_not_monitored(database: Database, inbox: Inbox) -> None:
    classified_before(database, 50, ago=86_401, source="old", latency_s=9, confidence=0.1)
    classified_before(database, 9, ago=80_000, source="new", latency_s=9, confidence=0.1)
    assert run_checks(database, inbox, 3) == []


def test_with_few_tickets_only_the_last_fifty_are_monitored(database: Database, inbox: Inbox) -> None:
    classified_before(database, 50, ago=7200, source="old", latency_s=9, confidence=0.1)
    classified_before(database, 50, ago=600, source="new")
    assert run_checks(database, inbox, 3) == []


def test_a_window_with_more_tickets_is_monitored_whole_and_alone(database: Database, inbox: Inbox) -> None:
    classified_before(database, 60, ago=310, source="before", confidence=0.1)
    classified_before(database, 20, ago=250, source="unsure", confidence=0.1)
    classified_before(database, 60, ago=1, source="sure")
    for share, kinds in ((0.24, ["unsure-share"]), (0.26, [])):
        assert run_checks(database, inbox, 3, QUIET.model_copy(update={"unsure_share": share})) == kinds


def test_unsure_tickets_and_dead_letters_are_shares_of_the_live_ones(database: Database, inbox: Inbox) -> None:
    write_window(database, [*tickets(79), *tickets(21, source="unsure", confidence=0.69)])
    for index in range(2):
        insert_dead_letter(database, Lane.LIVE, b"%d-0" % index, b"{}", "unreadable")
    run_checks(database, inbox, 2)
    assert set(raised(database)) == {("unsure-share", "open"), ("error-rate", "open")}


def test_five_tickets_a_day_that_all_become_dead_letters_are_alerted_until_they_are_replayed(
    database: Database, inbox: Inbox
) -> None:
    assert run_checks(database, inbox, 3) == []
    for index in range(5):
        insert_dead_letter(database, Lane.LIVE, b"%d-0" % index, b"{}", "unreadable")
    assert run_checks(database, inbox, 2) == ["error-rate"]
    with database.autocommit() as connection:
        connection.execute(text("DELETE FROM dead_letters"))

    assert run_checks(database, inbox, 3) == []


def test_webhooks_that_cannot_be_read_count_as_dead_letters(database: Database, inbox: Inbox) -> None:
    write_window(database, tickets(50))
    insert_webhook_dead_letter(database, "crm", b"{}", "text: is empty")

    assert run_checks(database, inbox, 2) == ["error-rate"]


def test_tickets_that_waited_for_a_worker_do_not_count_as_latency(database: Database, inbox: Inbox) -> None:
    settings = MonitorSettings(disabled_kinds=frozenset({"memory"}))
    run_checks(database, inbox, 2, settings)
    write_window(database, tickets(50, waited=200))
    Lease(inbox.redis, 30).acquire()
    run_checks(database, inbox, 3, settings)
    assert raised(database) == [("no-worker", "open"), ("no-worker", "resolved")]


def test_a_running_worker_reports_its_memory_and_the_latency_of_tickets(
    endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path
) -> None:
    publish(inbox, 30)
    with running(endpoints, instant_models):
        until(lambda: stored(database) == 30)
        until(lambda: len(worker_memory(inbox.redis)) == 1)
        settings = MonitorSettings(latency_s=600, memory_share=1e-6)
        assert run_checks(database, inbox, 2, settings) == ["memory"]
    assert all(row["latency_s"] > 0 for row in rows(database, "predictions"))


def test_a_paused_inbox_has_no_oldest_ticket(database: Database, inbox: Inbox) -> None:
    publish(inbox, 1)
    pause(inbox.redis)
    assert run_checks(database, inbox, 3, MonitorSettings(oldest_s=1e-6, disabled_kinds=QUIET.disabled_kinds)) == []


def test_of_two_concurrent_checks_one_is_counted(database: Database) -> None:
    initial, now = MonitorState(), MonitorState(START, (), START, START)
    save_monitor_state(database, "latency", initial, MonitorState(None, (True,), START), key=None)
    read_state = monitor_states(database)["latency"]
    later = replace(now, checked_at=START + timedelta(seconds=1))

    def save(index: int) -> None:
        save_monitor_state(database, "latency", read_state, later, key=f"open {index}", detail={"state": "open"})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(save, range(2)))
    assert len(raised(database)) == 1


def test_tickets_that_arrive_while_a_worker_starts_do_not_count_as_latency(database: Database, inbox: Inbox) -> None:
    lease = Lease(inbox.redis, 30)
    lease.acquire()
    lease.report_state("at work")
    write_window(database, tickets(50, waited=20))
    assert run_checks(database, inbox, 3, QUIET) == []

    longer_ago = f"at work\n1\n{datetime.now(UTC).timestamp() - 90}"
    inbox.redis.set(lease_key(lease.consumer), longer_ago)
    assert run_checks(database, inbox, 2, QUIET) == ["latency"]


def test_without_a_model_no_training_is_due_and_nothing_drifts(database: Database, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    assert alert_if_due(database, registry, DueSettings(), datetime.now(UTC)) == 0
    assert not alert_if_drifted(database, registry, datetime.now(UTC))


def test_a_rule_is_notified_of_opening_and_at_once_of_resolution(
    database: Database, inbox: Inbox, tmp_path: Path
) -> None:
    rules = load_rules(tmp_path, '[rules.well]\nchannels = ["team"]\nkinds = ["no-worker"]\nevery_s = 300')
    subjects = list[str]()
    settings = MonitorSettings(disabled_kinds=frozenset({"memory"}))

    def send(_: Channel, message: AlertMessage) -> SendResult:
        subjects.append(message.subject)
        return Delivered()

    run_checks(database, inbox, 2, settings)
    send_due_alerts(database, rules, send)
    Lease(inbox.redis, 30).acquire()
    run_checks(database, inbox, 1, settings)
    send_due_alerts(database, rules, send)

    assert [re.sub(r"\d+ s", "… s", subject) for subject in subjects] == [
        "Triagem: no worker alive for … s",
        "Triagem: resolved (lasted … s): no worker is running",
    ]
