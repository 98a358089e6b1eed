"""While a store hangs, the gateway accepts tickets, and bulk work for the running model continues."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import create_server

import pytest

from tests.integration.test_pipeline import copy_models
from tests.support.builders import NOW
from tests.support.gateway import client, services
from tests.support.pipeline import publish, running
from tests.support.runs import advance_once, scalar, store_tickets
from tests.support.waiting import until
from triagem.contracts.model import CURRENT_FILE, MANIFEST_FILE
from triagem.contracts.ticket import Lane
from triagem.db import Database, runs
from triagem.db.auth import Scope
from triagem.db.runs import RunPlan
from triagem.gateway import authentication
from triagem.inbox import Inbox
from triagem.inbox.lease import Lease, worker_states
from triagem.registry import Registry, backends
from triagem.stack import Endpoints
from triagem.worker import fetcher


@pytest.fixture
def silent_database() -> Iterator[Database]:
    """A Postgres that accepts connections and never answers."""
    with create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield Database(f"postgresql://u:p@127.0.0.1:{listener.getsockname()[1]}/triagem")


@pytest.fixture
def registry(instant_models: Path, tmp_path: Path) -> Registry:
    return Registry(copy_models(instant_models, tmp_path))


def hang(registry: Registry) -> None:
    """Make reads of `current` and of v1.1.0's files block forever: replace them by FIFOs without a writer."""
    for file in (registry.root / CURRENT_FILE, registry.root / "v1.1.0" / MANIFEST_FILE):
        file.unlink()
        os.mkfifo(file)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "DEADLINE_S", 0.1)
    monkeypatch.setattr(fetcher, "_SHADOW_WAIT_S", 0.1)


def test_health_checks_use_up_no_thread_that_other_requests_need(silent_database: Database, inbox: Inbox) -> None:
    with client(services(silent_database, inbox, open_predict=True, predict_wait_s=0)) as gateway:
        with ThreadPoolExecutor(60) as probes:
            answers = [probes.submit(gateway.get, "/health") for _ in range(60)]
            until(lambda: sum(answer.running() for answer in answers) == 60)
            assert gateway.post("/predict", json={"text": "minha internet caiu"}).status_code == 202
            assert not any(answer.done() for answer in answers)
        assert {answer.result().status_code for answer in answers} == {503}
        assert "Postgres" in answers[0].result().json()["detail"]


def test_a_key_that_was_valid_before_is_accepted_while_its_look_up_hangs(
    database: Database, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = client(services(database, inbox, key_cache_s=0), Scope.ENQUEUE)
    ticket = {"source": "crm", "external_id": "1", "text": "minha internet caiu", "revised_at": f"{NOW:%FT%TZ}"}
    assert gateway.post("/v1/tickets", json=ticket).status_code == 202
    answered = threading.Event()
    monkeypatch.setattr(authentication, "find_key", lambda *_: answered.wait(90))
    monkeypatch.setattr(authentication, "_LOOK_UP_S", 0.1)

    assert gateway.post("/v1/tickets", json=ticket).status_code == 202
    unknown = gateway.post("/v1/tickets", json=ticket, headers={"Authorization": "Bearer trg_unknown"})
    assert (unknown.status_code, unknown.json()["detail"]) == (503, "Postgres has not answered for 0.1 s")
    answered.set()


def test_health_is_degraded_while_the_registry_hangs(database: Database, inbox: Inbox, registry: Registry) -> None:
    hang(registry)
    lease = Lease(inbox.redis, 60)
    lease.acquire()
    lease.report_state("at work")

    answer = client(services(database, inbox, models=registry.root)).get("/health")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "has not answered" in answer.json()["detail"]


def test_bulk_work_for_the_running_model_goes_on_and_the_worker_reports_the_registry(
    endpoints: Endpoints, inbox: Inbox, database: Database, registry: Registry
) -> None:
    store_tickets(database, 100)
    runs.start(database, RunPlan("v1.1.0", epoch=1, shadow=True))
    with running(endpoints, registry.root, window_max=32) as (pipeline, _):
        assert pipeline.models.ready.wait(90)
        hang(registry)
        advance_once(database, inbox, registry.root)
        publish(inbox, 40, lane=Lane.BULK, text="importado")
        until(lambda: any("has not answered" in state for state in worker_states(inbox.redis).values()))
        until(lambda: imported(database) == 40)
    depth = inbox.depth(Lane.BULK)
    assert depth.waiting + depth.in_flight == 100, "checks of the run were lost"


def test_a_run_of_the_running_model_goes_on(
    endpoints: Endpoints, inbox: Inbox, database: Database, registry: Registry
) -> None:
    store_tickets(database, 100)
    runs.start(database, RunPlan("v1.0.0", epoch=1))
    with running(endpoints, registry.root) as (pipeline, _):
        assert pipeline.models.ready.wait(90)
        hang(registry)
        until(lambda: not advance_once(database, inbox, registry.root).active)
    assert runs.find(database).done == 100  # type: ignore[union-attr]


def imported(database: Database) -> int:
    """The number of imported tickets."""
    return int(scalar(database, "SELECT count(*) FROM tickets WHERE text LIKE 'importado%'"))
