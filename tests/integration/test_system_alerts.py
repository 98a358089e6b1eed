"""Looks at a real database and inbox: an alert when it opens, one when it is resolved, of live tickets only."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.alerting import load_rules
from tests.support.pipeline import publish, running, stored
from tests.support.waiting import until
from tests.support.windows import result, rows
from triagem.alerts.monitor import MonitorSettings, check_system
from triagem.alerts.notify import send_due_alerts
from triagem.alerts.rendering import AlertMessage
from triagem.alerts.settings import Channel
from triagem.cli.stack import Endpoints
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.alerts import undelivered_alerts
from triagem.db.dead_letters import insert_dead_letter
from triagem.db.monitoring import MonitorState, monitor_states, save_monitor_state
from triagem.db.window import ClassifiedTicket, write_window
from triagem.inbox import Inbox
from triagem.inbox.desired import pause
from triagem.inbox.lease import Lease, worker_memory
from triagem.outgoing import Delivered, SendResult

START = datetime.now(UTC)
CALM = MonitorSettings(min_tickets=10, disabled_kinds=frozenset({"no-worker", "memory"}))


def tickets(number: int, *, waited: float = 0.1, ago: float = 1.0, **changes: Any) -> list[ClassifiedTicket]:
    """Results that were classified a moment ago, `waited` seconds after they were put."""
    now = datetime.now(UTC)
    received_at, classified_at = now - timedelta(seconds=waited), now - timedelta(seconds=ago)
    some = [result(external_id=str(one), **changes) for one in range(number)]
    return [replace(one, received_at=received_at, classified_at=classified_at) for one in some]


def looks(database: Database, inbox: Inbox, number: int, settings: MonitorSettings = CALM) -> list[str]:
    """So many looks, a minute apart in the memory of who looks; what is open after the last."""
    found: list[str] = []
    for one in range(number):
        now = max([each.checked_at or START for each in monitor_states(database).values()], default=START)
        found = check_system(database, inbox, settings, max(now + timedelta(microseconds=1 + one), datetime.now(UTC)))
    return found


def raised(database: Database) -> list[tuple[str, str]]:
    """Kind and state of each system alert, oldest first."""
    return [(one.kind, (one.detail or {})["state"]) for one in reversed(undelivered_alerts(database, limit=99))]


def test_an_alert_opens_after_two_bad_looks_and_is_resolved_after_three_good_ones(
    database: Database, inbox: Inbox
) -> None:
    write_window(database, tickets(20, waited=3))
    assert looks(database, inbox, 1) == []
    assert looks(database, inbox, 1) == ["latency"]
    looks(database, inbox, 3)
    assert raised(database) == [("latency", "open")]

    write_window(database, [*tickets(400, source="quick")])
    assert looks(database, inbox, 2) == ["latency"]
    assert looks(database, inbox, 1) == []
    assert raised(database) == [("latency", "open"), ("latency", "resolved")]

    (resolved, opened) = undelivered_alerts(database, limit=9)
    assert opened.detail is not None
    assert opened.detail["summary"].startswith("open: 95% of live tickets took up to 3")
    assert resolved.about.endswith(" resolved")


def test_it_can_open_again(database: Database, inbox: Inbox) -> None:
    for _ in range(2):
        publish(inbox, 1)
        looks(database, inbox, 2, MonitorSettings(oldest_s=1e-6, disabled_kinds=CALM.disabled_kinds))
        inbox.redis.delete("triagem:{0}:live")
        inbox.create_groups()
        looks(database, inbox, 3)
    assert raised(database) == [("oldest-ticket", "open"), ("oldest-ticket", "resolved")] * 2


def test_imports_and_runs_are_not_looked_at(database: Database, inbox: Inbox) -> None:
    """INV-24: system alerts and latency figures count live tickets only."""
    write_window(database, tickets(50, waited=1000, lane=Lane.BULK, confidence=0.1))
    for one in range(20):
        insert_dead_letter(database, Lane.BULK, b"%d-0" % one, b"{}", "unreadable")
    assert looks(database, inbox, 3) == []
    assert {row["latency_s"] for row in rows(database, "predictions")} == {None}


def test_what_was_before_the_window_is_not_looked_at(database: Database, inbox: Inbox) -> None:
    write_window(database, tickets(50, waited=1000, ago=301, confidence=0.1))
    assert looks(database, inbox, 3) == []


def test_unsure_tickets_and_dead_letters_are_shares_of_the_live_ones(database: Database, inbox: Inbox) -> None:
    write_window(database, [*tickets(79), *tickets(21, source="unsure", confidence=0.69)])
    for one in range(2):
        insert_dead_letter(database, Lane.LIVE, b"%d-0" % one, b"{}", "unreadable")
    looks(database, inbox, 2)
    assert set(raised(database)) == {("unsure-share", "open"), ("error-rate", "open")}


def test_what_waited_for_a_worker_says_nothing_about_its_speed(database: Database, inbox: Inbox) -> None:
    watching = MonitorSettings(min_tickets=10, disabled_kinds=frozenset({"memory"}))
    looks(database, inbox, 2, watching)
    write_window(database, tickets(50, waited=200))
    Lease(inbox.redis, 30).acquire()
    looks(database, inbox, 3, watching)
    assert raised(database) == [("no-worker", "open"), ("no-worker", "resolved")]


def test_a_running_worker_says_what_memory_it_uses_and_how_long_tickets_waited(
    endpoints: Endpoints, database: Database, inbox: Inbox, instant_models: Path
) -> None:
    publish(inbox, 30)
    with running(endpoints, instant_models):
        until(lambda: stored(database) == 30)
        until(lambda: len(worker_memory(inbox.redis)) == 1)
        alive = MonitorSettings(min_tickets=10, latency_s=600, memory_share=1e-6)
        assert looks(database, inbox, 2, alive) == ["memory"]
    assert all(row["latency_s"] > 0 for row in rows(database, "predictions"))


def test_a_paused_inbox_has_no_oldest_ticket(database: Database, inbox: Inbox) -> None:
    publish(inbox, 1)
    pause(inbox.redis)
    assert looks(database, inbox, 3, MonitorSettings(oldest_s=1e-6, disabled_kinds=CALM.disabled_kinds)) == []


def test_of_two_who_look_at_once_one_is_counted(database: Database) -> None:
    was, now = MonitorState(), MonitorState(START, (), START, START)
    save_monitor_state(database, "latency", was, MonitorState(None, (True,), START), key=None)
    read = monitor_states(database)["latency"]
    later = replace(now, checked_at=START + timedelta(seconds=1))

    def one(_: int) -> None:
        save_monitor_state(database, "latency", read, later, key=f"open {_}", detail={"state": "open"})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(2)))
    assert len(raised(database)) == 1


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_a_rule_hears_of_both_ends(database: Database, inbox: Inbox, tmp_path: Path, language: str) -> None:
    rule = f'[rules.well]\nchannels = ["team"]\nkinds = ["no-worker"]\nevery_s = 1\nlanguage = "{language}"'
    rules, said = load_rules(tmp_path, rule), list[str]()
    watching = MonitorSettings(disabled_kinds=frozenset({"memory"}))
    looks(database, inbox, 2, watching)
    Lease(inbox.redis, 30).acquire()
    looks(database, inbox, 3, watching)

    def send(_: Channel, message: AlertMessage) -> SendResult:
        said.extend(message.lines)
        return Delivered()

    send_due_alerts(database, rules, send)
    assert (
        said
        == {
            "en": [
                "no worker is running (resolved): workers running: 1",
                "no worker is running (open): workers running: 0",
            ],
            "pt-BR": [
                "nenhum worker em execução (resolvido): workers em execução: 1",
                "nenhum worker em execução (em aberto): workers em execução: 0",
            ],
        }[language]
    )
