"""Real worker processes on the shared stack."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from triagem.cli.processes import WorkerProcess
from triagem.stack import Endpoints

ROOT = Path(__file__).parent.parent.parent

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def start_worker(endpoints: Endpoints, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts worker processes; all are killed at the end of the test."""
    started: list[WorkerProcess] = []

    def start(
        models: Path, engine: str = "tests.support.engines:slow_noop", *, command: str = "worker", **settings: str
    ) -> WorkerProcess:
        process = WorkerProcess(
            endpoints,
            tmp_path / f"{command}-{len(started)}.log",
            command,
            TRIAGEM_REGISTRY_URL=str(models),
            TRIAGEM_ENGINE=engine,
            TRIAGEM_LEASE_S="1",
            TRIAGEM_CLAIM_EVERY_S="0.1",
            PYTHONPATH=str(ROOT),
            **settings,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
