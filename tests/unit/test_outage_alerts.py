"""Outage alerts are sent directly, once per outage and channel, and again until a channel takes them."""

import re
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import pytest
from celery.worker import state

from tests.support.alerting import load_rules
from triagem.contracts.errors import DatabaseUnavailable
from triagem.db.outbox.alerts import EndedOutage
from triagem.notify.alert_rendering import AlertMessage
from triagem.notify.alert_rules import AlertRules, Channel
from triagem.notify.outage import OutageWatch
from triagem.notify.request import Delivered, Retry, SendResult
from triagem.ops.run import TaskProgress

RULE = '[rules.system]\nchannels = ["team"]\nkinds = ["postgres", "no-task"]\nlanguage = "{}"'


class Team:
    """The channel of a team, with a watch on a Postgres that tests switch off."""

    def __init__(self, rules: AlertRules) -> None:
        self.rules, self.messages = rules, list[AlertMessage]()
        self.takes, self.well, self.now = True, True, 1000.0
        self.stores, self.stored = True, list[EndedOutage]()
        self.watch = OutageWatch(
            {"postgres": lambda: self.well, "redis": lambda: self.well},
            after_s=120,
            rules=lambda: rules,
            sender=lambda _: self.send,
            clock=lambda: self.now,
            record=self.record,
        )

    def send(self, _: Channel, message: AlertMessage) -> SendResult:
        if not self.takes:
            return Retry("503")
        self.messages.append(message)
        return Delivered()

    def record(self, outage: EndedOutage) -> None:
        if not self.stores:
            raise DatabaseUnavailable("no answer")
        self.stored.append(outage)

    def check(self, *, well: bool, after: float) -> list[str]:
        """Check after some seconds; returns the subjects that were sent."""
        self.well, self.now = well, self.now + after
        self.watch.check()
        sent, self.messages = self.messages, []
        self.lines = [line for message in sent for line in message.lines]
        return [message.subject for message in sent]


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(load_rules(tmp_path, RULE.format("en")))


def test_an_outage_is_reported_once_it_has_lasted_and_again_when_it_ends(team: Team) -> None:
    assert team.check(well=False, after=15) == []
    assert team.check(well=False, after=119) == []
    assert team.check(well=False, after=1) == ["Triagem: Postgres has not answered for 2 min"]
    assert team.check(well=False, after=45) == []
    assert team.check(well=True, after=15) == ["Triagem: resolved (lasted 3 min): Postgres does not answer"]
    assert team.check(well=True, after=15) == []


def test_an_outage_begins_before_the_check_that_waits_for_an_answer(team: Team) -> None:
    def hang() -> bool:
        team.now += 60
        return False

    team.watch = OutageWatch(
        {"postgres": hang}, after_s=120, rules=lambda: team.rules, sender=lambda _: team.send, clock=lambda: team.now
    )
    assert team.check(well=False, after=0) == []
    assert team.check(well=False, after=0) == ["Triagem: Postgres has not answered for 2 min"]


def test_a_check_that_hangs_delays_no_other(team: Team) -> None:
    together = Barrier(2, timeout=5)

    def check() -> bool:
        together.wait()
        return True

    OutageWatch({"postgres": check, "redis": check}, after_s=120, rules=lambda: team.rules).check()


def test_a_short_outage_is_not_reported(team: Team) -> None:
    assert team.check(well=False, after=15) == []
    assert team.check(well=True, after=15) == []
    assert team.check(well=False, after=1000) == []


def test_a_message_that_a_channel_did_not_take_is_sent_again(team: Team) -> None:
    team.check(well=False, after=15)
    team.takes = False
    assert team.check(well=False, after=120) == []
    team.takes = True
    assert len(team.check(well=False, after=15)) == 1
    assert team.check(well=False, after=15) == []


def test_an_ended_outage_is_stored_once_postgres_answers(team: Team) -> None:
    team.check(well=False, after=15)
    team.check(well=False, after=120)
    team.stores = False
    team.check(well=True, after=45)
    assert team.stored == []
    team.stores = True
    for _ in range(2):
        team.check(well=True, after=15)

    assert [(outage.kind, outage.detail["lasted"], outage.is_sent) for outage in team.stored] == [
        ("postgres", "2 min", True),
        ("redis", "2 min", False),
    ]


def test_messages_are_in_the_rules_language(tmp_path: Path) -> None:
    team = Team(load_rules(tmp_path, RULE.format("pt-BR")))
    team.check(well=False, after=15)
    assert team.check(well=False, after=120) == ["Triagem: o Postgres não responde há 2 min"]
    assert re.fullmatch(r"o Postgres não responde há 2 min \(desde .* UTC\): os tickets esperam .*", team.lines[0])


def test_messages_link_to_the_runbook_and_the_console(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_CONSOLE_URL", "https://triagem.example.com/console/")
    monkeypatch.setenv("TRIAGEM_RUNBOOK_URL", "https://docs.example.com/runbook")
    team.check(well=False, after=15)
    team.check(well=False, after=120)
    assert team.lines[1:] == [
        "  what to do: https://docs.example.com/runbook#triagemstoreunavailable",
        "  console: https://triagem.example.com/console/operations",
    ]


class TestLiveness:
    """The ops worker's heartbeat is the time of the last completed task, as long as tasks wait."""

    @pytest.fixture(autouse=True)
    def celery_counts(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        counts = SimpleNamespace(total_count={"triagem.watch": 0}, active_requests=set[str]())
        monkeypatch.setattr(state, "total_count", counts.total_count)
        monkeypatch.setattr(state, "active_requests", counts.active_requests)
        return counts

    def test_a_task_that_hangs_is_no_sign_of_life_and_one_that_ends_is(self, celery_counts: SimpleNamespace) -> None:
        now = [1000.0]
        progress = TaskProgress(lambda: now[0])
        celery_counts.total_count["triagem.watch"] += 1
        celery_counts.active_requests.add("a")
        now[0] = 1100.0
        progress.update()
        assert (progress.alive_at, progress.completed_at) == (1000.0, 1000.0)

        celery_counts.active_requests.clear()
        progress.update()
        assert (progress.alive_at, progress.completed_at) == (1100.0, 1100.0)

    def test_an_idle_worker_is_alive_but_completes_nothing(self) -> None:
        now = [1000.0]
        progress = TaskProgress(lambda: now[0])
        now[0] = 9000.0
        progress.update()
        assert (progress.alive_at, progress.completed_at) == (9000.0, 1000.0)
