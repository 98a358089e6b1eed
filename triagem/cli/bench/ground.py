"""Where the pipe is measured: a local stack of its own that is erased after, tickets put into it and waited for."""

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
from typing import Final as Constant

from redis import Redis
from sqlalchemy import text as sql

from triagem.cli.bench.model import Measured, measured
from triagem.cli.commands.up import prepare
from triagem.cli.output import errors
from triagem.cli.processes import WorkerProcess, exit_on_sigterm
from triagem.cli.stack import Endpoints, LocalStack
from triagem.contracts.errors import Final
from triagem.contracts.model import MANIFEST_FILE
from triagem.contracts.ticket import Ticket
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.db.tables import EMPTY_ALL
from triagem.inbox import connect
from triagem.producer import Publisher
from triagem.registry import Registry

_PEER_TICKETS: Constant = 4_000
_PATIENCE_S: Constant = 120.0
_NUMBERS: Constant = count()
# From the index: a count(*) every few milliseconds would be a good part of what is measured.
_ROWS: Constant = sql("SELECT coalesce(max(id), 0) FROM tickets")


class BenchFailed(Final):
    """What is measured came to no end: the message holds the worker's last words."""


class Bench:
    """A stack, and tickets put into it and waited for."""

    def __init__(self, endpoints: Endpoints, database: Database, registry: Path, work: Path) -> None:
        self.endpoints, self.database, self.registry, self.work = endpoints, database, registry, work
        self.redis: Redis = connect(endpoints.redis_url)
        self.publisher = Publisher.from_url(endpoints.redis_url)

    def empty(self) -> None:
        """Nothing waits and nothing is stored."""
        self.redis.flushall()
        with self.database.autocommit() as connection:
            connection.execute(EMPTY_ALL)

    def worker(self, engine: str, **settings: str) -> WorkerProcess:
        """A worker process with this engine."""
        ours = {"TRIAGEM_REGISTRY_URL": str(self.registry), "TRIAGEM_ENGINE": engine}
        return WorkerProcess(self.endpoints, self.work / "worker.log", **ours, **settings)

    def enqueue(self, texts: Sequence[str], number: int) -> float:
        """Tickets a second of `triagem enqueue` on a file, the command's own start included."""
        file = self.work / "tickets.jsonl"
        rows = ({"id": str(one), "text": texts[one % len(texts)]} for one in range(number))
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "triagem.cli.main", "enqueue", str(file), "--lane", "bulk", "--json"]
        began = time.perf_counter()
        subprocess.run(command, env=self._environment(), check=True, capture_output=True)
        return number / (time.perf_counter() - began)

    def drained_per_s(self, number: int) -> float:
        """Rows a second from the first committed ones to the last: the worker's start is not the pipe."""
        first: tuple[int, float] | None = None
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            rows, now = self._rows(), time.perf_counter()
            if rows and first is None:
                first = rows, now
            if rows >= number and first:
                return (rows - first[0]) / max(1e-9, now - first[1])
            time.sleep(0.02)
        raise BenchFailed(f"{self._rows()} of {number} rows in {_PATIENCE_S:.0f} s: {self._said()}")

    def put_to_row_ms(self, text: str) -> float:
        """One live ticket, from before its put until its row can be read."""
        name = f"live-{next(_NUMBERS)}"
        found = sql("SELECT 1 FROM tickets WHERE source = 'live' AND external_id = :name")
        with self.database.autocommit() as connection:
            connection.execute(found, {"name": name}).one_or_none()
            began = time.perf_counter()
            self.publisher.publish(source="live", external_id=name, text=f"{text} {name}")
            while connection.execute(found, {"name": name}).one_or_none() is None:
                if time.perf_counter() - began > _PATIENCE_S:
                    raise BenchFailed(f"a ticket was not stored in {_PATIENCE_S:.0f} s: {self._said()}")
                time.sleep(0.0005)
            return (time.perf_counter() - began) * 1000

    def celery_batches_per_s(self, texts: Sequence[str]) -> float | None:
        """The same rows by celery-batches' worker; None where it is not installed."""
        if find_spec("celery_batches") is None:
            return None
        os.environ["TRIAGEM_BENCH_BROKER"] = self.endpoints.broker_url
        os.environ["TRIAGEM_DATABASE_URL"] = self.endpoints.database_url
        from triagem.cli.bench import batches

        for one in range(_PEER_TICKETS):
            ticket = Ticket(source="import", external_id=str(one), text=texts[one % len(texts)])
            batches.classify.apply_async((encode(ticket).decode(),))
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "triagem.cli.bench.batches:app",
            "worker",
            "-P",
            "solo",
            "-l",
            "error",
        ]
        with (self.work / "celery.log").open("wb") as log:
            process = subprocess.Popen(command, env=self._environment(), stdout=log, stderr=log)
            try:
                # Its last messages wait for the flush interval: they are no part of the rate.
                return self.drained_per_s(_PEER_TICKETS - batches.BATCH)
            finally:
                process.terminate()
                process.wait()

    def _said(self) -> str:
        """The last line of a worker's log."""
        log = self.work / "worker.log"
        return log.read_text(encoding="utf-8").strip().rpartition("\n")[2] if log.exists() else "no log"

    def _rows(self) -> int:
        with self.database.autocommit() as connection:
            return int(connection.execute(_ROWS).scalar_one())

    def _environment(self) -> dict[str, str]:
        ours = {"TRIAGEM_REDIS_URL": self.endpoints.redis_url, "TRIAGEM_DATABASE_URL": self.endpoints.database_url}
        return {**os.environ, **ours}


@contextmanager
def bench(model: Measured) -> Iterator[Bench]:
    """A stack and a registry of its own in a temporary folder: nothing of the user's is touched."""
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
            prepare(endpoints)
            with Database(endpoints.database_url) as database:
                yield Bench(endpoints, database, registry.root, Path(folder))
        finally:
            stack.erase()


@contextmanager
def measuring() -> Iterator[tuple[Bench, Callable[[str], None]]]:
    """A stack with MiniLM's shapes, and what says on the screen what is going on."""
    exit_on_sigterm()  # or its servers would outlive it
    with measured("minilm") as version, bench(version) as on, errors.status("measure") as status:
        yield on, status.update
