"""A consumer of the change feed ends with exactly the current results, even if any one process is killed."""

import random
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from math import inf
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.support.changes import Copy
from tests.support.pipeline import drained, publish, stored
from tests.support.runs import scalar
from tests.support.waiting import until
from triagem import Client
from triagem.cli.processes import WorkerProcess
from triagem.contracts.errors import GatewayUnavailable
from triagem.contracts.result import Result
from triagem.contracts.ticket import Identity
from triagem.db import Database, runs
from triagem.db.auth import Scope, create_key
from triagem.db.reviews import record_review, undo_review
from triagem.db.runs import RunPlan
from triagem.db.tickets.queries import Filters, result_pages
from triagem.inbox import Inbox
from triagem.ops.forget import forget
from triagem.registry import Registry
from triagem.stack import Endpoints
from triagem.stack.state import choose_port

COMMANDS = {"worker": "worker", "second worker": "worker", "ops": "ops", "beat": "beat", "gateway": "gateway"}


class System:
    """Two workers, an ops worker, beat and a gateway, which can be killed and restarted."""

    def __init__(self, endpoints: Endpoints, models: Path, logs: Path) -> None:
        self.endpoints, self.logs, self.port = endpoints, logs, choose_port()
        self.settings = {
            "TRIAGEM_REGISTRY_URL": str(models), "PYTHONPATH": str(ROOT), "TRIAGEM_LEASE_S": "1",
            "TRIAGEM_CLAIM_EVERY_S": "0.5", "TRIAGEM_RECLASSIFY_EVERY": "1s",
            "TRIAGEM_ENGINE": "tests.support.engines:slow_noop", "TRIAGEM_GATEWAY_PORT": str(self.port),
            "TRIAGEM_BEAT_SCHEDULE": str(logs / "beat"),
        }  # fmt: skip
        self.processes: dict[str, WorkerProcess] = {}

    def restart(self, name: str) -> None:
        """Kill the process if it runs, and start it."""
        if name in self.processes:
            self.processes[name].kill()
        log = self.logs / f"{name}.log"
        self.processes[name] = WorkerProcess(self.endpoints, log, COMMANDS[name], **self.settings)


@pytest.fixture
def models(instant_models: Path, tmp_path: Path) -> Path:
    """A registry in which the test promotes another version."""
    return Path(shutil.copytree(instant_models, tmp_path / "models"))


@pytest.fixture
def system(endpoints: Endpoints, models: Path, tmp_path: Path) -> Iterator[System]:
    """All processes, killed at the end."""
    system = System(endpoints, models, tmp_path)
    for name in COMMANDS:
        system.restart(name)
    yield system
    for process in system.processes.values():
        process.kill()


class Consumer:
    """Follows the feed in a thread. It loses its connection at random and continues from its own cursor."""

    def __init__(self, url: str, key: str, rng: random.Random) -> None:
        self.copy, self._url, self._key, self._rng = Copy(), url, key, rng
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(0.2):
            changes_left = self._rng.randint(1, 3000)
            try:
                with Client(self._url, self._key, tries=1) as client:
                    for change in client.changes(self.copy.cursor):
                        self.copy.apply(change)
                        changes_left -= 1
                        if changes_left == 0:
                            break
            except GatewayUnavailable:
                continue


def current_results(database: Database) -> dict[int, Result]:
    """All current results, by ticket id."""
    return {row.ticket_id: row for page in result_pages(database, Filters(), limit=None) for row in page.rows}


def processed(database: Database) -> float:
    """The number of tickets that the run has processed; all if it is done."""
    run = runs.find(database)
    return 0 if run is None else inf if run.state == "done" else run.processed


@pytest.mark.parametrize("size", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_consumer_ends_with_exactly_the_current_results(
    system: System, database: Database, inbox: Inbox, models: Path, size: int
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)  # shown if it fails
    rng = random.Random(seed)
    consumer = Consumer(f"http://127.0.0.1:{system.port}", create_key(database, "copy", [Scope.READ])[1], rng)

    def review_some(reviewer: str) -> None:
        for number in rng.sample(range(size // 4), size // 40):
            review = record_review(database, Identity("crm", str(number)), "outra", reviewer)
            if number % 7 == 0 and isinstance(review, int):
                undo_review(database, review, reviewer)

    try:
        publish(inbox, size)
        until(lambda: stored(database) > size // 4, seconds=120)
        with ThreadPoolExecutor() as threads:
            reviewing = [threads.submit(review_some, reviewer) for reviewer in ("ana", "bia")]
            kills = cycle(("worker", "gateway", "second worker", "ops", "beat"))
            for share in (0.3, 0.5):
                until(lambda share=share: stored(database) > share * size, seconds=120)  # type: ignore[misc]
                system.restart(next(kills))
            epoch = Registry(models).promote("v1.1.0").epoch
            runs.start(database, RunPlan("v1.1.0", epoch))
            publish(inbox, size // 20, text="mudou o texto do ticket")
            for number in range(size // 100):
                forget(database, inbox, Identity("crm", str(number)))
            for share in (0.2, 0.5, 0.8):
                until(lambda share=share: processed(database) > share * size, seconds=120)  # type: ignore[misc]
                system.restart(next(kills))
            for outcome in reviewing:
                outcome.result()
        until(lambda: drained(inbox) and processed(database) == inf, seconds=300)
        expected = current_results(database)
        until(lambda: consumer.copy.results == expected, seconds=60)
    finally:
        consumer.stop()

    assert len(expected) == size - size // 100
    assert scalar(database, "SELECT count(*) FROM reviews") > size // 40
