"""The Redis users of docs/explanation/security.md, on the real server: each has only the permissions it needs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from tests.e2e.conftest import ROOT, StartWorker
from tests.support.command import Triagem
from tests.support.pipeline import stored
from tests.support.waiting import until
from triagem import Publisher
from triagem.contracts.errors import AccessDenied
from triagem.contracts.ticket import Lane
from triagem.db import Database, runs
from triagem.inbox import Inbox, connect
from triagem.inbox.client import redis_errors
from triagem.inbox.lease import live_worker_count
from triagem.inbox.stream import stream_key
from triagem.ops.app import ops_app
from triagem.ops.settings import OpsSettings
from triagem.stack import Endpoints
from triagem.worker.app import make_app

PASSWORD = "hush-hush"
SECURITY_PAGE = (ROOT / "docs/explanation/security.md").read_text(encoding="utf-8")
ACL_COMMANDS = re.findall(r"^ACL SETUSER .*$", SECURITY_PAGE, re.MULTILINE)


@pytest.fixture
def users(endpoints: Endpoints, redis: Redis) -> Iterator[None]:
    """The users, with one password for all."""
    names = [line.split()[2] for line in ACL_COMMANDS]
    assert names == ["triagem", "broker", "crm"]
    for line in ACL_COMMANDS:
        cast("Any", redis).execute_command(*line.replace("<password>", PASSWORD).split())
    yield
    redis.acl_deluser(*names)


def url_of(user: str, url: str) -> str:
    """The server's URL for a user."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{user}:{PASSWORD}@{rest.rpartition('@')[2]}"


@pytest.mark.usefixtures("users")
def test_a_worker_works_as_two_users(
    endpoints: Endpoints, inbox: Inbox, database: Database, start_worker: StartWorker, instant_models: Path
) -> None:
    as_users = {
        "TRIAGEM_REDIS_URL": url_of("triagem", endpoints.redis_url),
        "TRIAGEM_BROKER_URL": url_of("broker", endpoints.broker_url),
    }
    killed = start_worker(instant_models, **as_users)
    Publisher(inbox).publish_many([{"source": "crm", "external_id": str(n), "text": "oi"} for n in range(900)])
    until(lambda: inbox.in_flight(Lane.LIVE) > 0, seconds=60)
    killed.kill()
    inbox.redis.xadd(stream_key(Lane.LIVE), {"t": b"unreadable"})
    worker = start_worker(instant_models, **as_users)
    until(lambda: inbox.redis.xlen(stream_key(Lane.LIVE)) == 0, seconds=60)

    assert stored(database) == 900
    answers = make_app(as_users["TRIAGEM_BROKER_URL"]).control.broadcast("pipeline_stats", reply=True, timeout=3)
    assert [reply["model"] for answer in answers for reply in answer.values()] == ["v1.0.0"]
    assert worker.stop() == 0
    assert live_worker_count(inbox.redis) == 0
    assert "refused" not in worker.log.read_text() + killed.log.read_text()


@pytest.mark.usefixtures("users")
def test_ops_works_as_two_users(
    endpoints: Endpoints, database: Database, start_worker: StartWorker, instant_models: Path
) -> None:
    broker = url_of("broker", endpoints.broker_url)
    ops = start_worker(
        instant_models,
        command="ops",
        TRIAGEM_REDIS_URL=url_of("triagem", endpoints.redis_url),
        TRIAGEM_BROKER_URL=broker,
    )
    with ops_app(broker, OpsSettings()) as app:
        app.send_task("triagem.reclassify")

    until(lambda: bool(runs.newest_runs(database, limit=1)), seconds=60)
    assert ops.stop() == 0


@pytest.mark.usefixtures("users")
def test_the_command_line_works_as_the_workers_user(
    triagem: Triagem, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_REDIS_URL", url_of("triagem", endpoints.redis_url))
    Path("good.csv").write_text("id,text\n1,oi\n", encoding="utf-8")

    for command in (("enqueue", "good.csv"), ("backlog",), ("pause",), ("resume",)):
        assert triagem(*command).status == 0
    assert "refused" not in triagem("doctor").out


@pytest.mark.usefixtures("users")
def test_a_crm_submits_tickets_and_reads_nothing(endpoints: Endpoints, inbox: Inbox) -> None:
    client = connect(url_of("crm", endpoints.redis_url))
    Publisher(Inbox(client)).publish(source="crm", external_id="1", text="oi")

    assert inbox.depth(Lane.LIVE).waiting == 1
    with pytest.raises(AccessDenied), redis_errors():
        client.xrange(stream_key(Lane.LIVE))


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("user", ["triagem", "broker", "crm"])
@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "SET", "dir", "/"),
        ("ACL", "LIST"),
        ("SHUTDOWN", "NOSAVE"),
        ("GET", "somebody:else"),
        ("CLIENT", "LIST"),
        ("EVAL", "return 1", "0"),
    ],
    ids=lambda command: command[0],
)
def test_no_user_can_do_harm_elsewhere(endpoints: Endpoints, user: str, command: tuple[str, ...]) -> None:
    with pytest.raises(AccessDenied), redis_errors():
        cast("Any", connect(url_of(user, endpoints.redis_url))).execute_command(*command)


@pytest.mark.usefixtures("users")
def test_the_brokers_user_reads_no_ticket(endpoints: Endpoints) -> None:
    with pytest.raises(AccessDenied), redis_errors():
        connect(url_of("broker", endpoints.redis_url)).xrange(stream_key(Lane.LIVE))
