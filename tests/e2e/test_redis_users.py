"""The Redis users of deploy/redis/users.acl, on the real server: each has only the permissions it needs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from tests.e2e.conftest import ROOT, StartWorker
from tests.support.command import Triagem
from tests.support.gateway_process import Gateway, head, ticket
from tests.support.pipeline import stored
from tests.support.waiting import until
from triagem import Publisher
from triagem.broker import OPS_QUEUE, make_app
from triagem.contracts.errors import AccessDenied
from triagem.contracts.ticket import Lane
from triagem.db import Database, runs
from triagem.db.auth import Scope, create_key
from triagem.inbox import Inbox, connect
from triagem.inbox.client import redis_errors
from triagem.inbox.lease import list_workers
from triagem.inbox.stream import stream_key
from triagem.inbox.webhook_counts import WebhookCounts
from triagem.ops.app import ops_app
from triagem.ops.settings import OpsSettings
from triagem.stack import Endpoints

PASSWORD = "hush-hush"
ACL_FILE = (ROOT / "deploy/redis/users.acl").read_text(encoding="utf-8")
RULES = dict(re.findall(r"^user (\w+) (on .*)$", ACL_FILE, re.MULTILINE))


@pytest.fixture
def users(endpoints: Endpoints, redis: Redis) -> Iterator[None]:
    """The users, with one password for all."""
    assert [*RULES] == ["gateway", "worker", "broker"]
    for name, rules in RULES.items():
        cast("Any", redis).execute_command("ACL", "SETUSER", name, *rules.replace("<password>", PASSWORD).split())
    cast("Any", redis).execute_command("ACL", "LOG", "RESET")
    yield
    redis.acl_deluser(*RULES)


def sent_tasks(endpoints: Endpoints) -> int:
    """Number of messages in the queue of ops."""
    return int(cast("Any", connect(endpoints.broker_url)).llen(OPS_QUEUE))


def denied(redis: Redis) -> list[Any]:
    """The commands that the server refused to the users, each with its user."""
    return [(entry["username"], entry["object"]) for entry in cast("list[Any]", redis.acl_log())]


def url_of(user: str, url: str) -> str:
    """The server's URL for a user."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{user}:{PASSWORD}@{rest.rpartition('@')[2]}"


@pytest.mark.usefixtures("users")
def test_a_worker_works_as_two_users(
    endpoints: Endpoints, inbox: Inbox, database: Database, start_worker: StartWorker, instant_models: Path
) -> None:
    as_users = {
        "TRIAGEM_REDIS_URL": url_of("worker", endpoints.redis_url),
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
    assert make_app(as_users["TRIAGEM_BROKER_URL"]).control.ping(timeout=30, limit=1)
    assert worker.stop() == 0
    assert len(list_workers(inbox.redis)) == 0
    assert denied(inbox.redis) == []


@pytest.mark.usefixtures("users")
def test_ops_works_as_two_users(
    endpoints: Endpoints, redis: Redis, database: Database, start_worker: StartWorker, instant_models: Path
) -> None:
    broker = url_of("broker", endpoints.broker_url)
    ops = start_worker(
        instant_models,
        command="ops",
        TRIAGEM_REDIS_URL=url_of("worker", endpoints.redis_url),
        TRIAGEM_BROKER_URL=broker,
    )
    with ops_app(broker, OpsSettings()) as app:
        app.send_task("triagem.reclassify")

    until(lambda: bool(runs.newest_runs(database, limit=1)), seconds=60)
    assert ops.stop() == 0
    assert denied(redis) == []


@pytest.mark.usefixtures("users")
def test_the_command_line_works_as_the_workers_user(
    triagem: Triagem, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGEM_REDIS_URL", url_of("worker", endpoints.redis_url))
    Path("good.csv").write_text("id,text\n1,oi\n", encoding="utf-8")

    for command in (("enqueue", "good.csv"), ("backlog",), ("pause",), ("resume",)):
        assert triagem(*command).status == 0
    assert "this Redis user may not read the configuration" in triagem("doctor").out


@pytest.mark.usefixtures("users")
def test_the_gateway_works_as_its_user(
    endpoints: Endpoints, inbox: Inbox, redis: Redis, database: Database, tmp_path: Path
) -> None:
    _, key = create_key(database, "gateway", [*Scope])
    gateway = Gateway(endpoints, tmp_path, TRIAGEM_REDIS_URL=url_of("gateway", endpoints.redis_url))
    try:
        assert gateway.post(1, key)
        once = head("/v1/tickets", len(ticket(2)), key, "Idempotency-Key: once", "Content-Type: application/json")
        assert [gateway.send(once, ticket(2)).status for _ in range(2)] == [202, 202]
        assert inbox.depth(Lane.LIVE).waiting == 2
        assert gateway.send(head("/v1/tickets/zendesk/1", 0, key, method="GET")).status == 200
        for path in ("/health/ready", "/autoscale", "/metrics"):
            gateway.send(head(path, 0, key, method="GET"))
        assert gateway.send(head("/v1/tickets/zendesk/1", 0, key, method="DELETE")).status == 200
        assert inbox.depth(Lane.LIVE).waiting == 1
    finally:
        assert gateway.process.stop() == 0
    assert denied(redis) == []


@pytest.mark.usefixtures("users")
def test_the_gateways_user_counts_webhooks(endpoints: Endpoints, redis: Redis) -> None:
    counts = WebhookCounts(connect(url_of("gateway", endpoints.redis_url)))
    counts.record_ignored("shop", "a ping")
    counts.record_accepted("shop")

    assert [row.count for row in counts.ignored()] == [1]
    assert WebhookCounts(connect(url_of("gateway", endpoints.redis_url))).has_accepted("shop")
    assert denied(redis) == []


@pytest.mark.usefixtures("users")
def test_beat_works_as_the_brokers_user(
    endpoints: Endpoints, redis: Redis, start_worker: StartWorker, instant_models: Path
) -> None:
    beat = start_worker(
        instant_models,
        command="beat",
        TRIAGEM_BROKER_URL=url_of("broker", endpoints.broker_url),
        TRIAGEM_REDIS_URL=url_of("worker", endpoints.redis_url),
        TRIAGEM_DELIVER_EVERY="1s",
    )
    until(lambda: sent_tasks(endpoints) > 0, seconds=60)
    assert beat.stop() == 0
    assert denied(redis) == []


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("user", [*RULES])
@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "SET", "dir", "/"),
        ("CONFIG", "GET", "requirepass"),
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
