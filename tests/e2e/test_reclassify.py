"""A reclassification run with real processes ends correctly even if any one of them is killed."""

import random
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.e2e.test_memory import GROWTH_MIB, resident_mib
from tests.support.processes import descendants
from tests.support.runs import scalar, store_tickets
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.contracts.ticket import Lane
from triagem.db import Database, runs
from triagem.db.runs import ReclassifyRun, RunPlan
from triagem.inbox import Inbox
from triagem.stack import Endpoints

HIGH_WATER = 5_000


class System:
    """A worker, an ops worker and beat, which can be killed and restarted."""

    def __init__(self, endpoints: Endpoints, models: Path, logs: Path, engine: str) -> None:
        self.endpoints, self.logs = endpoints, logs
        self.settings = {
            "TRIAGEM_REGISTRY_URL": str(models), "PYTHONPATH": str(ROOT), "TRIAGEM_ENGINE": engine,
            "TRIAGEM_LEASE_S": "1", "TRIAGEM_CLAIM_EVERY_S": "0.5", "TRIAGEM_RECLASSIFY_EVERY": "1s",
            "TRIAGEM_BULK_HIGH_WATER": str(HIGH_WATER), "TRIAGEM_BEAT_SCHEDULE": str(logs / "beat"),
        }  # fmt: skip
        self.processes: dict[str, WorkerProcess] = {}

    def start(self, *names: str) -> None:
        for name in names or ("worker", "ops", "beat"):
            self.processes[name] = WorkerProcess(self.endpoints, self.logs / f"{name}.log", name, **self.settings)

    def kill(self, *names: str) -> None:
        for name in names or tuple(self.processes):
            self.processes[name].kill()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The folder of the processes' logs."""
    return tmp_path


def started_system(endpoints: Endpoints, models: Path, logs: Path, engine: str) -> Iterator[System]:
    """Started processes, killed at the end."""
    system = System(endpoints, models, logs, engine)
    system.start()
    try:
        yield system
    finally:
        system.kill()


@pytest.fixture
def slow_system(endpoints: Endpoints, instant_models: Path, logs: Path) -> Iterator[System]:
    """Its engine takes 2 ms per text."""
    yield from started_system(endpoints, instant_models, logs, "tests.support.engines:slow_noop")


@pytest.fixture
def quick_system(endpoints: Endpoints, instant_models: Path, logs: Path) -> Iterator[System]:
    """Its engine answers at once."""
    yield from started_system(endpoints, instant_models, logs, "tests.support.engines:noop")


class RunObserver:
    """Reads the run, and records the largest number of bulk entries in Redis."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self.database, self.inbox, self.max_entries = database, inbox, 0

    def run(self) -> ReclassifyRun:
        self.max_entries = max(self.max_entries, int(self.inbox.redis.xlen(f"triagem:{{0}}:{Lane.BULK}")))
        run = runs.find(self.database)
        assert run
        return run

    def assert_complete(self, tickets: int) -> None:
        run = self.run()
        assert (run.state, run.put, run.done, run.processed) == ("done", tickets, tickets, tickets)
        assert scalar(self.database, "SELECT count(*) FROM predictions WHERE model_version = 'v1.0.0'") == tickets
        assert scalar(self.database, "SELECT count(*) FROM tickets WHERE model_version = 'v1.0.0'") == tickets
        assert scalar(self.database, "SELECT count(*) FROM dead_letters") == 0
        assert scalar(self.database, "SELECT count(*) FROM alerts WHERE kind <> 'run-ended'") == 0
        assert self.max_entries <= HIGH_WATER


def test_after_sigkill_of_everything_the_run_continues_from_its_cursor(
    slow_system: System, database: Database, inbox: Inbox
) -> None:
    store_tickets(database, 2000)
    runs.start(database, RunPlan("v1.0.0", 1))
    observer = RunObserver(database, inbox)
    until(lambda: observer.run().done > 300, seconds=60)
    slow_system.kill()
    cursor, done = observer.run().cursor, observer.run().done
    assert done < 2000
    slow_system.start()
    until(lambda: observer.run().state == "done", seconds=60)
    assert cursor > 0
    observer.assert_complete(2000)


@pytest.mark.slow
def test_ten_random_kills_change_nothing_in_the_outcome_of_100_000_tickets(
    quick_system: System, database: Database, inbox: Inbox
) -> None:
    store_tickets(database, 100_000)
    runs.start(database, RunPlan("v1.0.0", 1))
    observer, rng = RunObserver(database, inbox), random.Random(8)
    print("seed 8")
    for number, name in zip(range(10), cycle(("worker", "ops", "beat")), strict=False):
        goal = min(99_000, observer.run().processed + rng.randint(500, 8_000))
        until(lambda goal=goal: observer.run().processed >= goal, seconds=120)  # type: ignore[misc]
        quick_system.kill(name)
        quick_system.start(name)
        print("killed", number, name, "at", goal)
    until(lambda: observer.run().state == "done", seconds=300)
    observer.assert_complete(100_000)


@pytest.mark.slow
def test_no_process_grows_with_the_tickets_of_a_run(quick_system: System, database: Database, inbox: Inbox) -> None:
    store_tickets(database, 100_000)
    runs.start(database, RunPlan("v1.0.0", 1))
    observer = RunObserver(database, inbox)
    until(lambda: observer.run().processed >= 33_000, seconds=300)
    pids = [pid for process in quick_system.processes.values() for pid in {process.pid, *descendants(process.pid)}]
    before = {pid: resident_mib(pid) for pid in pids}
    until(lambda: observer.run().state == "done", seconds=300)
    assert {
        pid: resident_mib(pid) - before[pid] for pid in pids if resident_mib(pid) - before[pid] >= GROWTH_MIB
    } == {}
    observer.assert_complete(100_000)
