"""A wave of tickets: workers come for it and go after it, by the gateway's signal and Kubernetes' algorithm."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.faults.engine import ENGINE
from tests.support.cluster import Cluster
from tests.support.gateway import client, services
from tests.support.pipeline import drained, stored
from triagem import Publisher
from triagem.cli.bench.cluster import Autoscaler
from triagem.cli.processes import WorkerProcess
from triagem.cli.stack import Endpoints
from triagem.db import Database
from triagem.db.api_keys import Scope
from triagem.inbox import Inbox

SECONDS_A_TEXT = 0.005  # 200 texts/s and worker, whatever the machine
ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, tmp_path: Path
) -> Iterator[Cluster]:
    """No workers yet. Nothing waits for a lease to end: they are long enough for a machine that is busy."""
    started: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        settings = {
            "TRIAGEM_REGISTRY_URL": str(instant_models),
            "TRIAGEM_ENGINE": ENGINE,
            "FAULT_SECONDS_PER_TEXT": str(SECONDS_A_TEXT),
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
    ("number", "most", "drain_s"), [(1_500, 3, 2.5), pytest.param(20_000, 5, 20.0, marks=pytest.mark.slow)]
)
def test_a_wave_is_met_from_none_to_many_and_back_to_none(  # noqa: PLR0917 - the whole house has a part in it
    monkeypatch: pytest.MonkeyPatch,
    inbox: Inbox,
    database: Database,
    cluster: Cluster,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    number: int,
    most: int,
    drain_s: float,
) -> None:
    """INV-25. The window for fewer is longer than the drain, as docs/scaling.md asks for."""
    asked = {"MAX": most, "DRAIN_S": drain_s, "COLD_START_S": 0, "RATE": 1 / SECONDS_A_TEXT}
    for name, value in asked.items():
        monkeypatch.setenv(f"TRIAGEM_SCALE_{name}", str(value))
    cluster.gateway = client(services(database, inbox), Scope.READ)
    cluster.autoscaler = Autoscaler(max_replicas=most, window_s=2 * drain_s, cooldown_s=2)
    cluster.period()

    Publisher(inbox).publish_many(
        [{"source": "crm", "external_id": str(one), "text": f"ticket {one}"} for one in range(number)]
    )
    began = time.monotonic()
    cluster.until(lambda: stored(database) > 0, seconds=120)
    cold = time.monotonic() - began
    cluster.until(lambda: drained(inbox), seconds=number * SECONDS_A_TEXT + 120)
    took = time.monotonic() - began
    cluster.until(cluster.is_empty, seconds=60)

    # Up to as many as it takes, each started once; down to none.
    rises = [later > former for former, later in pairwise(cluster.history) if later != former]
    assert cluster.history[0] == cluster.history[-1] == 0
    assert max(cluster.history) == len(cluster.ending) == most
    assert rises == sorted(rises, reverse=True)
    # Nothing lost, nothing done twice, and each worker finished what it had in hand.
    with database.autocommit() as connection:
        assert connection.execute(text("SELECT count(*) FROM predictions")).scalar_one() == number
    assert stored(database) == number
    assert [worker.exit_status for worker in cluster.ending] == [0] * most
    assert not any("entries_reclaimed" in log.read_text(encoding="utf-8") for log in tmp_path.glob("worker-*.log"))

    ideal = cold + number * SECONDS_A_TEXT / most
    with capsys.disabled():
        print(
            f"\n{number:,} tickets, {most} workers: {took:.1f} s, the first row after {cold:.1f} s; "
            f"all of them at work from then on: {ideal:.1f} s; {took / ideal:.2f} times that"
        )
