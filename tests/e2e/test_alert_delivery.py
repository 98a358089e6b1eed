"""Alerts on unsure tickets reach a webhook and a mailbox, each message id once. Both receivers are unavailable twice,
and `triagem ops` is killed while it sends."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.e2e.conftest import ROOT, StartWorker
from tests.support.alerting import rules_file
from tests.support.delivery import delivery_states, make_due, verified_data
from tests.support.mailbox import Mailbox
from tests.support.pipeline import drained, publish
from tests.support.receiver import OK, UNAVAILABLE, CannedResponse, ReceivedRequest, Receiver
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.db import Database
from triagem.db.outbox.alerts import newest_alerts
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.ops.app import ops_app
from triagem.ops.settings import OpsSettings
from triagem.stack import Endpoints

RULES = """
[rules.doubtful]
channels = ["team", "mail"]
every_s = 1
"""


@dataclass
class Receivers:
    """The receivers of alerts. If `victim` is set, the next request kills it before the answer."""

    mailbox: Mailbox
    victim: int = 0

    def __post_init__(self) -> None:
        self.hook = Receiver(self._answer)

    def _answer(self, _: ReceivedRequest) -> CannedResponse:
        if self.victim:
            os.killpg(self.victim, signal.SIGKILL)
            self.victim = 0
        return OK


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    """A webhook's receiver and a mailbox, both unavailable at first."""
    both = Receivers(Mailbox())
    with ExitStack() as opened:
        opened.enter_context(both.hook.open())
        opened.enter_context(both.mailbox.open())
        both.hook.next_responses, both.mailbox.next_responses = [UNAVAILABLE, UNAVAILABLE], ["451 later", "451 later"]
        yield both


def refused(database: Database, attempts: int) -> bool:
    """Whether both messages were attempted this many times and each outcome is recorded."""
    with database.autocommit() as connection:
        deliveries = connection.execute(text("SELECT attempts, leased_until FROM deliveries")).all()
    return deliveries == [(attempts, None)] * 2


def run_task(endpoints: Endpoints) -> None:
    """Put the task on the queue, as beat does."""
    with ops_app(endpoints.broker_url, OpsSettings()) as app:
        app.send_task("triagem.alerts", queue="ops", expires=60)


def test_each_message_arrives_once_by_its_id(
    endpoints: Endpoints,
    receivers: Receivers,
    start_worker: StartWorker,
    instant_models: Path,
    tmp_path: Path,
) -> None:
    database, inbox = Database(endpoints.database_url), Inbox(connect(endpoints.redis_url), InboxSettings())
    mail = (
        f'[channels.mail]\ntype = "email"\nhost = "localhost"\nport = {receivers.mailbox.port}\nsecurity = "none"\n'
    )
    mail += 'from = "triagem@example.com"\nto = ["ana@example.com"]\nlanguage = "pt-BR"'
    settings = {
        "TRIAGEM_REGISTRY_URL": str(instant_models),
        "TRIAGEM_ALERTS_FILE": str(rules_file(tmp_path, receivers.hook.url, RULES, mail)),
        "TRIAGEM_CONSOLE_URL": "https://triagem.example.com/console",
        "PYTHONPATH": str(ROOT),
    }
    started: list[WorkerProcess] = []

    def ops() -> WorkerProcess:
        log = tmp_path / f"ops-{len(started)}.log"
        started.append(WorkerProcess(endpoints, log, "ops", **settings))
        until(lambda: "ops_ready" in log.read_text(), seconds=60)
        return started[-1]

    def delivered() -> bool:
        make_due(database)
        run_task(endpoints)
        return {state for _, state, _ in delivery_states(database)} == {"delivered"}

    try:
        first = ops()
        start_worker(instant_models, TRIAGEM_REVIEW_THRESHOLD="1")  # above every confidence
        publish(inbox, 40)
        until(lambda: drained(inbox), seconds=60)
        run_task(endpoints)
        until(lambda: refused(database, 1))
        make_due(database)
        run_task(endpoints)
        until(lambda: refused(database, 2))

        receivers.victim = first.pid
        make_due(database)
        run_task(endpoints)
        until(lambda: first.exit_status is not None)
        assert ("doubtful.team", "waiting", 3) in delivery_states(database)
        ops()
        until(delivered, seconds=60)
    finally:
        for process in started:
            process.kill()

    notified: list[dict[str, Any]] = [verified_data(request) for request in receivers.hook.received]
    assert len(notified) == 4  # four attempts: unavailable twice, killed, delivered
    (message,) = {message["id"]: message for message in notified}.values()
    assert message["tickets"] == 40
    assert len(message["least_sure"]) == 5
    assert message["least_sure"][0]["link"].startswith("https://triagem.example.com/console/ticket?source=")

    (message_id,) = {email["Message-ID"] for email in receivers.mailbox.received}
    assert message_id.endswith("@example.com>")
    assert "40 tickets para revisar" in receivers.mailbox.received[-1]["Subject"]
    assert newest_alerts(database, undelivered=True, limit=9) == []
