"""The scaling signal by HTTP and by the command: equal figures, or no figure while it is unknown (INV-25)."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.support.command import Triagem
from tests.support.gateway import client, services
from tests.support.pipeline import drained, publish, running
from tests.support.waiting import until
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.auth import Scope
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.inbox.lease import Lease, list_workers, pause
from triagem.stack import Endpoints

SETTINGS = {"TRIAGEM_SCALE_RATE": "10", "TRIAGEM_SCALE_DRAIN_S": "100", "TRIAGEM_SCALE_COLD_START_S": "0"}


@pytest.fixture(autouse=True)
def scale_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 tickets per worker, until a worker reports its own rate."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def reader(database: Database, inbox: Inbox) -> TestClient:
    return client(services(database, inbox), Scope.READ)


def worker(inbox: Inbox, state: str = "at work", rate: float = 0.0) -> Lease:
    lease = Lease(inbox.redis, 600)
    lease.acquire()
    lease.report_state(state, rate)
    return lease


def test_a_worker_reports_its_rate_once_it_has_had_half_a_micro_batch(
    endpoints: Endpoints, inbox: Inbox, instant_models: Path
) -> None:
    """INV-25: a rate measured on single tickets would make a GPU look 32 times slower than it is."""
    with running(endpoints, instant_models):
        until(lambda: [info.state for info in list_workers(inbox.redis)] == ["at work"])
        publish(inbox, 3)
        until(lambda: drained(inbox))
        inbox.redis.delete(*inbox.redis.keys("triagem:{0}:lease:*"))  # it reports everything again under its new name
        until(lambda: [info.state for info in list_workers(inbox.redis)] == ["at work"])
        assert [info.rate for info in list_workers(inbox.redis)] == [0]
        publish(inbox, 300, text="outra coisa")
        until(lambda: all(info.rate > 0 for info in list_workers(inbox.redis)))


def test_both_lanes_and_what_is_in_flight_are_counted(reader: TestClient, inbox: Inbox) -> None:
    """INV-25."""
    inbox.put(Lane.LIVE, [b"{}"] * 1500)
    inbox.put(Lane.BULK, [b"{}"] * 1000)
    inbox.fetch(Lane.LIVE, worker(inbox).consumer, 600)

    signal = reader.get("/autoscale").json()

    assert (signal["waiting"], signal["in_flight"], signal["desired"], signal["hold"]) == (1900, 600, 3, False)
    assert (signal["workers"], signal["rate"], signal["drain_s"]) == (1, 10, 250)
    assert signal["oldest_s"] >= 0


def test_the_workers_own_rates_count_as_soon_as_they_know_them(reader: TestClient, inbox: Inbox) -> None:
    """INV-25: only the rates of workers that have one; an idle worker keeps its own."""
    inbox.put(Lane.LIVE, [b"{}"] * 9000)
    worker(inbox)
    worker(inbox, rate=20)
    worker(inbox, rate=40)

    assert reader.get("/autoscale").json()["rate"] == 30
    assert reader.get("/autoscale").json()["desired"] == 3


def test_after_the_last_worker_has_gone_its_rate_is_still_known(reader: TestClient, inbox: Inbox) -> None:
    """INV-25: scaling from zero uses the measured rate."""
    worker(inbox, rate=50).release()

    signal = reader.get("/autoscale").json()

    assert (signal["rate"], signal["workers"], signal["drain_s"]) == (50, 0, None)


def test_paused_it_holds_the_present_count(reader: TestClient, inbox: Inbox) -> None:
    """INV-25."""
    inbox.put(Lane.LIVE, [b"{}"] * 9000)
    worker(inbox)
    pause(inbox.redis)

    signal = reader.get("/autoscale").json()

    assert (signal["desired"], signal["hold"]) == (1, True)


def test_with_postgres_unavailable_it_holds_the_present_count(reader: TestClient, inbox: Inbox) -> None:
    """INV-25: the state that the workers report. A worker that is still warming up reports none."""
    inbox.put(Lane.LIVE, [b"{}"] * 9000)
    worker(inbox, "waiting: Postgres does not answer")
    worker(inbox, "warming up")

    signal = reader.get("/autoscale").json()

    assert (signal["desired"], signal["hold"]) == (2, True)


def test_with_redis_unavailable_there_is_no_number(database: Database) -> None:
    """INV-25: 503, never zero, so that the autoscaler keeps the present count."""
    unavailable = Inbox(connect("redis://127.0.0.1:1/0"), InboxSettings())

    answer = client(services(database, unavailable), Scope.READ).get("/autoscale")

    assert answer.status_code == 503
    assert "desired" not in answer.json()
    assert "does not answer" in answer.json()["detail"]


@pytest.mark.parametrize(("scopes", "status"), [((), 401), ((Scope.ENQUEUE,), 403)])
def test_it_requires_the_read_scope(database: Database, inbox: Inbox, scopes: tuple[Scope, ...], status: int) -> None:
    assert client(services(database, inbox), *scopes).get("/autoscale").status_code == status


def test_a_forgotten_entry_that_was_not_fetched_changes_no_count(reader: TestClient, inbox: Inbox) -> None:
    """Redis then no longer knows the group's lag. The stream's length and the pending count stay exact."""
    ids = inbox.put(Lane.LIVE, [b"{}"] * 1001)
    inbox.redis.xdel("triagem:{0}:live", ids[500])

    assert reader.get("/autoscale").json()["desired"] == 1


def test_the_command_prints_the_same(triagem: Triagem, reader: TestClient, inbox: Inbox) -> None:
    inbox.put(Lane.BULK, [b"{}"] * 2500)
    worker(inbox, rate=25)

    by_command = json.loads(triagem("backlog", "--json").out)
    by_http = reader.get("/autoscale").json()

    del by_http["oldest_s"]
    assert by_http.items() <= by_command.items()
    assert by_http["desired"] == 1
    assert "25 tickets per busy second per worker, drained in 100 s; desired workers: 1" in triagem("backlog").out


def test_a_rate_that_no_worker_has_reported_is_called_assumed(
    triagem: Triagem, reader: TestClient, inbox: Inbox
) -> None:
    assert "10 tickets per busy second per worker (assumed until a worker reports its rate)" in triagem("backlog").out
    assert reader.get("/autoscale").json()["rate_measured"] is False
    worker(inbox, rate=25).release()
    assert reader.get("/autoscale").json()["rate_measured"] is True


def test_with_redis_unavailable_the_command_fails(triagem: Triagem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_REDIS_URL", "redis://127.0.0.1:1/0")
    answer = triagem("backlog", "--json")
    assert (answer.status, answer.out) == (1, "")
