"""No password appears in a log, on a command line, in a repr or in an error message, whichever server refuses it."""

import subprocess
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.e2e.conftest import StartWorker
from tests.support.command import Triagem
from tests.support.leaks import all_output, leaks
from tests.support.waiting import until
from triagem import Publisher
from triagem.broker import BrokerSettings, make_app
from triagem.db import Database, DatabaseSettings
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.inbox.lease import list_workers
from triagem.stack import Endpoints, LocalStack

WRONG = "hush-hush"
REDIS, DATABASE, BROKER = "TRIAGEM_REDIS_URL", "TRIAGEM_DATABASE_URL", "TRIAGEM_BROKER_URL"


def passwords(endpoints: Endpoints) -> tuple[str, ...]:
    """All passwords, none of which may appear anywhere."""
    urls = (endpoints.redis_url, endpoints.database_url, endpoints.reader_url)
    return (WRONG, *(str(make_url(url).password) for url in urls))


def wrong(endpoints: Endpoints, variable: str) -> str:
    """A server's URL with another password."""
    url = {REDIS: endpoints.redis_url, DATABASE: endpoints.database_url, BROKER: endpoints.broker_url}[variable]
    user, _, host = url.rpartition("@")
    return f"{user.rpartition(':')[0]}:{WRONG}@{host}"


def test_no_process_has_a_password_on_its_command_line(
    endpoints: Endpoints, inbox: Inbox, start_worker: StartWorker, instant_models: Path
) -> None:
    worker = start_worker(instant_models)
    until(lambda: len(list_workers(inbox.redis)) == 1, seconds=60)

    shown = subprocess.run(["ps", "-axww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout

    assert str(worker.pid) in shown
    assert all(server in shown for server in ("valkey-server", "postgres"))
    assert leaks({"ps": shown}, *passwords(endpoints)) == []


@pytest.mark.parametrize("variable", [REDIS, DATABASE])
def test_every_command_reports_a_refused_login_without_a_password(
    triagem: Triagem, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, wrong(endpoints, variable))
    Path("good.jsonl").write_text('{"external_id": "7", "text": "a"}\n', encoding="utf-8")
    commands = {
        REDIS: [("enqueue", "good.jsonl"), ("backlog",), ("pause",), ("-v", "backlog"), ("doctor",)],
        DATABASE: [("results",), ("show", "a", "b"), ("db", "upgrade"), ("-v", "results"), ("doctor", "--json")],
    }

    for command in commands[variable]:
        answer = triagem(*command)
        assert answer.status == 1
        assert variable in answer.out + answer.err
        assert "Traceback" not in answer.err
        assert leaks({"out": answer.out, "err": answer.err}, *passwords(endpoints)) == [], command


@pytest.mark.parametrize("variable", [REDIS, DATABASE])
def test_a_worker_that_is_refused_ends_and_logs_no_password(
    stack: LocalStack, database: Database, start_worker: StartWorker, instant_models: Path, variable: str
) -> None:
    worker = start_worker(instant_models, **{variable: wrong(stack.endpoints, variable)})
    until(lambda: worker.exit_status is not None, seconds=60)

    assert worker.exit_status == 1
    assert "AccessDenied" in worker.log.read_text() or f"check {variable}" in worker.log.read_text()
    assert leaks(all_output(stack, database, worker), *passwords(stack.endpoints)) == []


def test_a_worker_whose_broker_refuses_it_logs_no_password(
    stack: LocalStack, database: Database, start_worker: StartWorker, instant_models: Path
) -> None:
    worker = start_worker(instant_models, **{BROKER: wrong(stack.endpoints, BROKER)})
    until(lambda: "model_loaded" in worker.log.read_text() or worker.exit_status is not None, seconds=60)
    until(lambda: "**" in worker.log.read_text() or worker.exit_status is not None, seconds=60)

    assert leaks(all_output(stack, database, worker), *passwords(stack.endpoints)) == []


def test_no_repr_shows_a_password(endpoints: Endpoints) -> None:
    redis_url, database_url = wrong(endpoints, REDIS), wrong(endpoints, DATABASE)
    client = connect(redis_url)
    app = make_app(redis_url)
    with Database(database_url) as database:
        shown = {
            type(value).__name__: f"{value!r} {value}"
            for value in (
                InboxSettings.model_validate({"redis_url": redis_url}),
                DatabaseSettings.model_validate({"database_url": database_url}),
                BrokerSettings.model_validate({"broker_url": redis_url}),
                endpoints,
                client,
                Publisher(Inbox(client)),
                database,
                database.engine,
                app,
                app.connection_for_write(),
            )
        }
    shown["what `celery report` says"] = app.conf.humanize(with_defaults=True)
    shown["what `celery inspect conf` says"] = repr(app.conf.table(with_defaults=True, censored=True))

    assert leaks(shown, *passwords(endpoints)) == []
    assert len(shown) == 12
