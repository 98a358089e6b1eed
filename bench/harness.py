"""Benchmark harness: a temporary local stack, and helpers that put tickets and wait for their rows."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from redis import Redis
from sqlalchemy import text as sql

from bench.model import BenchModel, open_model
from triagem.cli.commands.up import prepare_database
from triagem.cli.output import errors
from triagem.cli.processes import WorkerProcess, exit_on_sigterm
from triagem.contracts.errors import NotRetryable
from triagem.contracts.model import MANIFEST_FILE
from triagem.contracts.ticket import Ticket
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.db.schema import TRUNCATE_ALL
from triagem.inbox import connect
from triagem.producer import Publisher
from triagem.registry import Registry
from triagem.stack import Endpoints, LocalStack

CHECKOUT: Final = str(Path(__file__).parents[1])  # `bench` is not installed: worker processes need its path
_BASELINE_TICKETS: Final = 4_000
_TIMEOUT_S: Final = 120.0
_SEQUENCE: Final = count()
# Reads the latest id from the index: a count(*) every few milliseconds would distort the measurement.
_LAST_ROW: Final = sql("SELECT coalesce(max(id), 0) FROM tickets")


class BenchFailed(NotRetryable):
    """A benchmark did not finish: the message ends with the last line of the worker's log."""


class BenchStack:
    """A local stack for one benchmark."""

    def __init__(self, endpoints: Endpoints, database: Database, registry: Path, work: Path) -> None:
        self.endpoints, self.database, self.registry, self.work = endpoints, database, registry, work
        self.redis: Redis = connect(endpoints.redis_url)
        self.publisher = Publisher.from_url(endpoints.redis_url)

    def clear(self) -> None:
        """Delete all waiting entries and all stored rows."""
        self.redis.flushall()
        with self.database.autocommit() as connection:
            connection.execute(TRUNCATE_ALL)

    def worker(self, engine: str, **settings: str) -> WorkerProcess:
        """Start a worker process with this engine."""
        env = {"TRIAGEM_REGISTRY_URL": str(self.registry), "TRIAGEM_ENGINE": engine, "PYTHONPATH": CHECKOUT}
        return WorkerProcess(self.endpoints, self.work / "worker.log", **env, **settings)

    def enqueue(self, texts: Sequence[str], number: int) -> float:
        """Enqueue tickets with `triagem enqueue`; returns tickets per second, including the start of the command."""
        file = self.work / "tickets.jsonl"
        rows = ({"id": str(index), "text": texts[index % len(texts)]} for index in range(number))
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "triagem.cli.main", "enqueue", str(file), "--lane", "bulk", "--json"]
        began = time.perf_counter()
        subprocess.run(command, env=self._environment(), check=True, capture_output=True)
        return number / (time.perf_counter() - began)

    def drain_rate(self, number: int) -> float:
        """Rows per second from the first commit to the last, which excludes the worker's start."""
        first: tuple[int, float] | None = None
        end = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < end:
            rows, now = self._rows(), time.perf_counter()
            if rows and first is None:
                first = rows, now
            if rows >= number and first:
                return (rows - first[0]) / max(1e-9, now - first[1])
            time.sleep(0.02)
        raise BenchFailed(f"{self._rows()} of {number} rows after {_TIMEOUT_S:.0f} s: {self._last_log_line()}")

    def put_to_row_ms(self, text: str) -> float:
        """Milliseconds from the put of a live ticket until its row can be read."""
        name = f"live-{next(_SEQUENCE)}"
        query = sql("SELECT 1 FROM tickets WHERE source = 'live' AND external_id = :name")
        with self.database.autocommit() as connection:
            connection.execute(query, {"name": name}).one_or_none()
            began = time.perf_counter()
            self.publisher.publish(source="live", external_id=name, text=f"{text} {name}")
            while connection.execute(query, {"name": name}).one_or_none() is None:
                if time.perf_counter() - began > _TIMEOUT_S:
                    raise BenchFailed(f"a ticket was not stored in {_TIMEOUT_S:.0f} s: {self._last_log_line()}")
                time.sleep(0.0005)
            return (time.perf_counter() - began) * 1000

    def celery_batches_per_s(self, texts: Sequence[str]) -> float | None:
        """The rate for the same rows with a celery-batches worker; None if it is not installed."""
        if find_spec("celery_batches") is None:
            return None
        os.environ["TRIAGEM_BENCH_BROKER"] = self.endpoints.broker_url
        os.environ["TRIAGEM_DATABASE_URL"] = self.endpoints.database_url
        from bench import celery_batches_worker

        for index in range(_BASELINE_TICKETS):
            ticket = Ticket(source="import", external_id=str(index), text=texts[index % len(texts)])
            celery_batches_worker.classify.apply_async((encode(ticket).decode(),))
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "bench.celery_batches_worker:app",
            "worker",
            "-P",
            "solo",
            "-l",
            "error",
        ]
        with (self.work / "celery.log").open("wb") as log:
            process = subprocess.Popen(command, env=self._environment(), stdout=log, stderr=log)
            try:
                # celery-batches holds the last messages for its flush interval: exclude them from the rate.
                return self.drain_rate(_BASELINE_TICKETS - celery_batches_worker.BATCH)
            finally:
                process.terminate()
                process.wait()

    def _last_log_line(self) -> str:
        """The last line of the worker's log."""
        log = self.work / "worker.log"
        return log.read_text(encoding="utf-8").strip().rpartition("\n")[2] if log.exists() else "no log"

    def _rows(self) -> int:
        with self.database.autocommit() as connection:
            return int(connection.execute(_LAST_ROW).scalar_one())

    def _environment(self) -> dict[str, str]:
        urls = {"TRIAGEM_REDIS_URL": self.endpoints.redis_url, "TRIAGEM_DATABASE_URL": self.endpoints.database_url}
        return {**os.environ, **urls}


@contextmanager
def bench_stack(model: BenchModel) -> Iterator[BenchStack]:
    """Start a stack and a registry in a temporary folder, apart from the user's data."""
    with TemporaryDirectory(prefix="triagem-bench-") as folder:
        registry = Registry(Path(folder) / "models")
        with registry.staging() as staged:
            shutil.copytree(model.folder, staged, dirs_exist_ok=True)
            (staged / MANIFEST_FILE).unlink()
            version = registry.register(staged, model.manifest).version
        registry.promote(version)
        stack = LocalStack(Path(folder) / "stack")
        endpoints = stack.start()
        try:
            prepare_database(endpoints)
            with Database(endpoints.database_url) as database:
                yield BenchStack(endpoints, database, registry.root, Path(folder))
        finally:
            stack.erase()


@contextmanager
def minilm_stack() -> Iterator[tuple[BenchStack, Callable[[str], None]]]:
    """Start a stack with a model of MiniLM's shape; also returns a callback that shows progress on the screen."""
    exit_on_sigterm()  # otherwise its servers would keep running
    with open_model("minilm") as version, bench_stack(version) as stack, errors.status("measure") as status:
        yield stack, status.update
