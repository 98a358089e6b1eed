"""A wave of tickets: workers are started and stopped by the gateway's signal and Kubernetes' algorithm."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import text

from bench.scaling.cluster import Autoscaler
from tests.faults.engine import ENGINE
from tests.support.cluster import Cluster
from tests.support.gateway import client, services
from tests.support.pipeline import drained, stored
from triagem import Publisher
from triagem.cli.processes import WorkerProcess
from triagem.db import Database
from triagem.db.auth import Scope
from triagem.inbox import Inbox
from triagem.stack import Endpoints

SECONDS_PER_TEXT = 0.005  # 200 texts/s per worker on any machine
ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, tmp_path: Path
) -> Iterator[Cluster]:
    """A cluster without workers. Leases are long for a busy machine, since no test waits for their expiry."""
    started: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        settings = {
            "TRIAGEM_REGISTRY_URL": str(instant_models),
            "TRIAGEM_ENGINE": ENGINE,
            "FAULT_SECONDS_PER_TEXT": str(SECONDS_PER_TEXT),
            "TRIAGEM_LEASE_S": "6",
            "PYTHONPATH": str(ROOT),
        }
        started.append(WorkerProcess(endpoints, tmp_path / f"worker-{len(started)}.log", **settings))
        return started[-1]

    gateway = client(services(database, inbox), Scope.READ)
    yield Cluster(gateway, start, Autoscaler(max_replicas=0))
    for worker in started:
        worker.kill()


@pytest.mark.parametrize(
    ("number", "max_workers", "drain_s"), [(1_500, 3, 2.5), pytest.param(20_000, 5, 20.0, marks=pytest.mark.slow)]
)
def test_workers_scale_from_zero_to_many_and_back_to_zero(  # noqa: PLR0917 - every package takes part
    monkeypatch: pytest.MonkeyPatch,
    inbox: Inbox,
    database: Database,
    cluster: Cluster,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    number: int,
    max_workers: int,
    drain_s: float,
) -> None:
    """INV-25. The scale-down window is longer than the drain time, as docs/how-to/scaling.md requires."""
    settings = {"MAX": max_workers, "DRAIN_S": drain_s, "COLD_START_S": 0, "RATE": 1 / SECONDS_PER_TEXT}
    for name, value in settings.items():
        monkeypatch.setenv(f"TRIAGEM_SCALE_{name}", str(value))
    cluster.gateway = client(services(database, inbox), Scope.READ)
    cluster.autoscaler = Autoscaler(max_replicas=max_workers, window_s=2 * drain_s, cooldown_s=2)
    cluster.period()

    Publisher(inbox).publish_many(
        [{"source": "crm", "external_id": str(index), "text": f"ticket {index}"} for index in range(number)]
    )
    began = time.monotonic()
    cluster.until(lambda: stored(database) > 0, seconds=120)
    cold = time.monotonic() - began
    cluster.until(lambda: drained(inbox), seconds=number * SECONDS_PER_TEXT + 120)
    took = time.monotonic() - began
    cluster.until(cluster.is_empty, seconds=60)

    # Up to the maximum, each worker started once, then down to zero.
    rises = [later > previous for previous, later in pairwise(cluster.history) if later != previous]
    assert cluster.history[0] == cluster.history[-1] == 0
    assert max(cluster.history) == len(cluster.ending) == max_workers
    assert rises == sorted(rises, reverse=True)
    # No ticket is lost or classified twice, and each worker finished its tickets in progress.
    with database.autocommit() as connection:
        assert connection.execute(text("SELECT count(*) FROM predictions")).scalar_one() == number
    assert stored(database) == number
    assert [worker.exit_status for worker in cluster.ending] == [0] * max_workers
    assert not any("entries_reclaimed" in log.read_text(encoding="utf-8") for log in tmp_path.glob("worker-*.log"))

    ideal = cold + number * SECONDS_PER_TEXT / max_workers
    with capsys.disabled():
        print(
            f"\n{number:,} tickets, {max_workers} workers: {took:.1f} s, the first row after {cold:.1f} s; "
            f"with all workers busy from then on: {ideal:.1f} s; {took / ideal:.2f} times that"
        )
