"""The ops worker and beat as processes: tasks run, and each alert is raised once even if a process is killed."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis
from sqlalchemy import text

from tests.e2e.conftest import ROOT
from tests.faults.postgres_faults import stopped
from tests.support.alerting import rules_file
from tests.support.forgetting import waiting_payloads
from tests.support.processes import descendants
from tests.support.receiver import Receiver
from tests.support.version_history import promoted, reviewed
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.contracts.wire import decode
from triagem.db import Database
from triagem.db.outbox.alerts import RETRAINING_DUE, newest_alerts
from triagem.db.tickets.dead_letters import find_dead_letter, list_dead_letters
from triagem.inbox import Inbox, connect
from triagem.ops.app import ops_app
from triagem.ops.heartbeat import seconds_since_completed
from triagem.ops.invalid_files import file_problems
from triagem.ops.replay import replay
from triagem.ops.settings import OpsSettings
from triagem.stack import Endpoints, LocalStack
from triagem.worker.health import check

Start = Callable[..., WorkerProcess]


@pytest.fixture
def start(endpoints: Endpoints, tmp_path: Path) -> Iterator[Start]:
    """Starts `triagem ops` and `triagem beat` on a model that is too old; all are killed at the end."""
    models = promoted(tmp_path / "models", days_ago=100).root
    started: list[WorkerProcess] = []

    def begin(command: str, **settings: str) -> WorkerProcess:
        log = tmp_path / f"{command}-{len(started)}.log"
        common = {"TRIAGEM_REGISTRY_URL": str(models), "PYTHONPATH": str(ROOT)}
        started.append(WorkerProcess(endpoints, log, command, **common, **settings))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


@pytest.fixture
def broker(endpoints: Endpoints) -> Redis:
    """The Redis database of Celery's messages."""
    return connect(endpoints.broker_url)


def send(endpoints: Endpoints, **options: Any) -> None:
    """Put the task on the queue, as beat does."""
    with ops_app(endpoints.broker_url, OpsSettings()) as app:
        app.send_task("triagem.due", queue="ops", **options)


def raised_alerts(database: Database) -> list[str]:
    """The subjects of the raised alerts, oldest first, without the month."""
    return [
        alert.about.rpartition(" ")[0]
        for alert in reversed(newest_alerts(database, undelivered=True, kind=RETRAINING_DUE, limit=99))
    ]


def test_tasks_of_beat_run_and_alert_once_and_both_processes_end_on_sigterm(
    start: Start, database: Database, broker: Redis, tmp_path: Path
) -> None:
    heartbeat = tmp_path / "heartbeat"
    ops = start("ops", TRIAGEM_OPS_HEARTBEAT_FILE=str(heartbeat))
    beat = start(
        "beat", TRIAGEM_TRAINING_DUE_AT="1s", TRIAGEM_DRIFT_AT="1s", TRIAGEM_BEAT_SCHEDULE=str(tmp_path / "kept")
    )
    until(lambda: ops.log.read_text().count('"retraining_checked"') >= 3)
    until(lambda: '"event": "drift_checked"' in ops.log.read_text())
    assert raised_alerts(database) == ["v1.0.0 age"]
    assert check(heartbeat) is None
    assert list(tmp_path.glob("kept*"))

    os.kill(beat.pid, signal.SIGTERM)
    until(lambda: beat.exit_status is not None)
    until(lambda: broker.llen("ops") == 0)  # beat's last messages
    os.kill(ops.pid, signal.SIGTERM)
    until(lambda: ops.exit_status is not None)

    assert (ops.exit_status, beat.exit_status) == (0, 0)
    assert not heartbeat.exists()
    assert broker.llen("ops") == broker.hlen("unacked") == 0


def test_a_frozen_postgres_is_reported_directly(start: Start, stack: LocalStack, tmp_path: Path) -> None:
    """While Postgres is unavailable, its tables cannot store an alert and no task can send one."""
    receiver = Receiver()
    with receiver.open():
        rule = '[rules.system]\nchannels = ["team"]\nkinds = ["postgres"]'
        ops = start("ops", TRIAGEM_ALERTS_FILE=str(rules_file(tmp_path, receiver.url, rule)), TRIAGEM_OUTAGE_S="1")
        until(lambda: "ops_ready" in ops.log.read_text(), seconds=60)
        with stopped(stack.postgres):
            until(lambda: len(receiver.received) == 1)
        until(lambda: len(receiver.received) == 2)
    assert [b'"state":"open"' in request.body for request in receiver.received] == [True, False]
    assert b"Triagem: Postgres has not answered for" in receiver.received[0].body


def test_a_broken_alerts_file_is_reported_and_alerts_are_sent_by_its_last_valid_content(
    start: Start, endpoints: Endpoints, inbox: Inbox, tmp_path: Path
) -> None:
    receiver = Receiver()
    with receiver.open(), ops_app(endpoints.broker_url, OpsSettings()) as app:
        file = rules_file(tmp_path, receiver.url)
        ops = start("ops", TRIAGEM_ALERTS_FILE=str(file))
        until(lambda: "ops_ready" in ops.log.read_text(), seconds=60)
        file.write_text(file.read_text().replace('"team"', '"tem"'))

        def reported() -> bool:
            app.send_task("triagem.alerts", queue="ops", expires=60)
            return "TRIAGEM_ALERTS_FILE" in file_problems(inbox.redis)

        until(reported, seconds=30)
        send(endpoints)
        until(lambda: '"retraining_checked"' in ops.log.read_text(), seconds=60)
        reported()
        until(lambda: len(receiver.received) == 1)
    assert file_problems(inbox.redis) == {
        "TRIAGEM_ALERTS_FILE": f"{file} [rules.doubtful] channels: there is no [channels.tem]"
    }


@pytest.mark.parametrize("victim", ["the process of the task", "the whole worker"])
def test_a_task_that_is_killed_between_two_alerts_runs_again_and_raises_each_once(
    start: Start, endpoints: Endpoints, database: Database, broker: Redis, victim: str
) -> None:
    reviewed(database, "a", "cobranca")  # a second reason to retrain
    ops = start("ops")
    with database.engine.connect() as blocking, blocking.begin() as transaction:
        # An alert with the same key, not committed: the task waits for its outcome.
        key = f"v1.0.0 new-label cobranca {time.strftime('%Y-%m', time.gmtime())}"
        insert = text("INSERT INTO alerts (kind, key) VALUES ('retraining-due', :key)")
        blocking.execute(insert, {"key": key})
        send(endpoints)
        until(lambda: waits(database), seconds=60)
        assert raised_alerts(database) == ["v1.0.0 age"]
        if victim == "the whole worker":
            ops.kill()
        else:
            (task,) = descendants(ops.pid)
            os.kill(task, signal.SIGKILL)
            until(lambda: task not in descendants(ops.pid))
        transaction.rollback()
    if victim == "the whole worker":
        assert broker.hlen("unacked") == 1
        (tag,) = cast("list[bytes]", broker.zrange("unacked_index", 0, -1))
        broker.zadd("unacked_index", {tag: time.time() - 3600})  # as if it had been delivered an hour ago
        ops = start("ops")

    # Postgres may have executed the killed task's statement; the repeated task logs what it finds.
    until(
        lambda: ops.log.read_text().count('"retraining_checked"') == (1 if victim == "the whole worker" else 2),
        seconds=60,
    )
    until(lambda: broker.llen("ops") == broker.hlen("unacked") == 0)
    assert raised_alerts(database) == ["v1.0.0 age", "v1.0.0 new-label cobranca"]


def waits(database: Database) -> bool:
    """Whether a statement waits for another's transaction."""
    with database.autocommit() as connection:
        return bool(connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())


def test_a_task_sent_while_no_worker_runs_is_dropped_once_it_has_expired(
    start: Start, endpoints: Endpoints, broker: Redis
) -> None:
    for _ in range(3):
        send(endpoints, expires=0.01)
    send(endpoints)
    ops = start("ops")
    until(lambda: '"retraining_checked"' in ops.log.read_text(), seconds=60)
    until(lambda: broker.llen("ops") == broker.hlen("unacked") == 0)
    assert ops.log.read_text().count('"retraining_checked"') == 1


def test_a_failing_task_is_not_repeated_and_its_log_names_only_the_error_type(
    start: Start, endpoints: Endpoints, broker: Redis
) -> None:
    send(endpoints, args=["minha senha"])
    ops = start("ops")
    until(lambda: 'raised unexpected: TypeError"' in ops.log.read_text(), seconds=60)
    until(lambda: broker.llen("ops") == broker.hlen("unacked") == 0)
    assert "minha senha" not in ops.log.read_text()


def test_a_service_that_uses_celery_submits_tickets(start: Start, endpoints: Endpoints, broker: Redis) -> None:
    inbox = Inbox(connect(endpoints.redis_url))
    with ops_app(endpoints.broker_url, OpsSettings()) as app:
        app.loader.import_default_modules()
        enqueue = app.tasks["triagem.enqueue"]
        enqueue.delay(source="shop", external_id="4711", text="Quanto custa?", revised_at="2026-11-02T09:30:00-03:00")
        enqueue.delay(source="shop", external_id="4712", text="minha senha \ud800", lane="fast")
        enqueue.delay(source="shop", external_id="4713", body="minha senha")
        enqueue.delay("shop", "4714", "oi", "minha senha")
    ops = start("ops")

    until(lambda: waiting_payloads(inbox) != [], seconds=60)
    until(lambda: broker.llen("ops") == broker.hlen("unacked") == 0)

    until(lambda: seconds_since_completed(inbox.redis) is not None)

    (ticket,) = map(decode, waiting_payloads(inbox))
    assert (ticket.external_id, ticket.text) == ("4711", "Quanto custa?")
    assert ticket.revised_at == datetime.fromisoformat("2026-11-02T12:30:00Z")
    assert "minha senha" not in ops.log.read_text()
    with Database(endpoints.database_url) as database:
        until(lambda: len(list_dead_letters(database, limit=10)) == 3)
        letters = [find_dead_letter(database, letter.id) for letter in list_dead_letters(database, limit=10)]
        assert replay(database, inbox).invalid == sorted(letter.id for letter in letters if letter)
    assert {(letter.lane, letter.reason, letter.payload) for letter in letters if letter} == {
        ("task", "lane: must be live or bulk",
         b'{"lane": "fast", "source": "shop", "external_id": "4712", "text": "minha senha \\ud800"}'),
        ("task", "text: is missing; unknown fields: body",
         b'{"lane": "live", "source": "shop", "external_id": "4713", "body": "minha senha"}'),
        ("task", "argument_4: is not a known field",
         b'{"lane": "live", "source": "shop", "external_id": "4714", "text": "oi", "argument_4": "minha senha"}'),
    }  # fmt: skip
