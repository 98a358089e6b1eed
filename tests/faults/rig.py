"""Test rig of a fault: real servers, a registry, tickets, workers, and the expected results."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import text

from tests.faults.crm_producer import CrmProducer
from tests.faults.expectations import Expectations
from tests.faults.model_versions import two_versions
from tests.faults.outcome import Outcome, evaluate, read_final_state
from tests.faults.workers import LEASE_S, WorkerProcesses
from triagem import Publisher
from triagem.cli.processes import WorkerProcess
from triagem.contracts.errors import Retryable
from triagem.contracts.ticket import Lane, Ticket, accept
from triagem.db import Database
from triagem.db.schema import TRUNCATE_ALL
from triagem.db.upgrade import upgrade
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.ops.verify import verify
from triagem.stack import LocalStack, ensure_writer_login

_CHUNK: Final = 250
_STALLED_S: Final = 20  # longer than the slowest window (5 s) plus two leases
_IDLE_S: Final = 2.0
_EXTRA, _EXTRA_FIRST = 500, 1_000_000  # the number of extra tickets, and their first number


class Rig:
    """Servers for all faults of a run, emptied before each; fsync and append-only file as in production."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        self._folder = folder
        self.stack = LocalStack(folder / "stack")
        self._faults = 0

    def __enter__(self) -> Self:
        self.endpoints = self.stack.start()
        try:
            self.database = Database(self.endpoints.database_url)
            upgrade(self.database)
            ensure_writer_login(self.endpoints.database_url, self.endpoints.writer_password)
        except BaseException:
            self.stack.erase()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()
        self.stack.erase()

    @contextmanager
    def clean(self, fault: str) -> Iterator[None]:
        """Empty servers, new expectations, new models and random numbers; kills all workers at the end."""
        self._faults += 1
        self.fault, self.expected = fault, Expectations()
        self.random = random.Random(f"{self.seed} {fault}")  # the same random moments if a fault runs alone
        self.folder = self._folder / str(self._faults)
        self.folder.mkdir()
        self.registry = two_versions(self.folder / "models")
        redis = connect(self.endpoints.redis_url)
        redis.flushall()
        self.inbox = Inbox(redis, InboxSettings(lease_s=LEASE_S))
        self.inbox.create_groups()
        self.publisher = Publisher(self.inbox)
        self.workers = WorkerProcesses(self.endpoints, self.inbox, self.registry.root, self.folder)
        with self.database.autocommit() as connection:
            connection.execute(TRUNCATE_ALL)
        try:
            yield
        finally:
            self.workers.kill_all()

    def outcome(self, problem: str = "") -> Outcome:
        """Outcome of the fault. What `triagem db verify` finds is a problem too."""
        findings = [finding for _, finding in verify(self.database, self.inbox) if finding]
        inconsistent = "; ".join(f"{row.problem}: {row.count} ({', '.join(row.examples)})" for row in findings)
        return evaluate(self.fault, self.expected, read_final_state(self.database), problem or inconsistent)

    def tickets(self, count: int, *, first: int = 0, **changes: Any) -> list[Ticket]:
        """Tickets number `first`, `first + 1`, …, of different lengths."""
        now = datetime.now(UTC)
        rows = (
            {"source": "crm", "external_id": f"T-{number}", "text": f"ticket {number} " + "palavra " * (number % 40)}
            for number in range(first, first + count)
        )
        return [accept({"revised_at": now, **row, **changes}, now=now) for row in rows]

    def publish(self, tickets: int | Sequence[Ticket], *, lane: Lane = Lane.LIVE) -> list[Ticket]:
        """Enqueue tickets, or a number of new ones, and record those accepted. Raises what the publisher raises."""
        new = self.tickets(tickets, first=len(self.expected.revisions)) if isinstance(tickets, int) else list(tickets)
        for start in range(0, len(new), _CHUNK):
            chunk = new[start : start + _CHUNK]
            self.publisher.put(chunk, lane=lane)
            self.expected.accept(chunk)
        return new

    @contextmanager
    def producing(self, count: int) -> Iterator[CrmProducer]:
        """A CRM enqueues tickets during the block, and retries those not accepted; waits for it at the end."""
        producer = CrmProducer(self, self.tickets(count, first=len(self.expected.revisions)))
        producer.start()
        try:
            yield producer
        except BaseException:
            producer.stop()
            raise
        producer.finish()

    def publish_through(self, redis_url: str) -> None:
        """Enqueue through another Redis URL from now on."""
        self.publisher = Publisher.from_url(redis_url, self.inbox.settings)

    def start(self, **environment: object) -> WorkerProcess:
        """Start a worker process."""
        return self.workers.start(**environment)

    def kill(self, worker: WorkerProcess) -> None:
        """SIGKILL a worker while there is work."""
        assert self.waiting() > 0, f"all work was done before kill {self.expected.kills + 1}"
        worker.kill()
        self.expected.kills += 1

    def busy(self, worker: WorkerProcess, *, stored: float = 0) -> None:
        """Return at a random moment after this worker is busy and `stored` tickets have been stored."""
        idle_since = time.monotonic()

        def is_busy() -> bool:
            nonlocal idle_since
            if self.workers.is_busy(worker) and self.stored() >= stored:
                return True
            if self.waiting() != 0:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > _IDLE_S:  # no work is left: enqueue more tickets
                self.publish(self.tickets(_EXTRA, first=_EXTRA_FIRST + len(self.expected.revisions)))
            return False

        self.until(is_busy)
        time.sleep(self.random.uniform(0, 0.1))

    def recovers(self) -> None:
        """After the fault: wait for the first newly committed row, and record how long it took."""
        started = time.monotonic()
        before = -1

        def again() -> bool:
            nonlocal before
            before = before if before >= 0 else self.stored()
            return before >= 0 and (self.stored() > before or self.waiting() == 0)

        self.until(again)
        self.expected.recoveries.append(time.monotonic() - started)

    def drain(self) -> None:
        """Wait until no entry is left in Redis or pending; fails if there is no progress for some seconds."""
        while before := self.waiting():
            self.until(lambda before=before: self.waiting() != before, seconds=_STALLED_S)  # type: ignore[misc]
        self.until(lambda: not any(self.inbox.in_flight(lane) for lane in Lane), seconds=_STALLED_S)

    def stored(self) -> int:
        """Number of stored tickets; -1 while Postgres is unavailable."""
        try:
            return self._count("SELECT count(*) FROM tickets")
        except Retryable:
            return -1

    def waiting(self) -> int:
        """Number of entries in Redis, including those in flight; -1 while it is unavailable."""
        try:
            depths = [self.inbox.depth(lane) for lane in Lane]
        except Retryable:
            return -1
        return sum(depth.waiting + depth.in_flight for depth in depths)

    def dead(self) -> int:
        """Number of dead letters."""
        return self._count("SELECT count(*) FROM dead_letters")

    def versions(self) -> set[str]:
        """Versions with at least one prediction."""
        with self.database.autocommit() as connection:
            return set(connection.execute(text("SELECT DISTINCT model_version FROM predictions")).scalars())

    def until(self, done: Callable[[], bool], *, seconds: float = 30) -> None:
        """Wait until `done` is true; fails as soon as no worker is left."""
        end = time.monotonic() + seconds
        while not done():
            if self.workers.started and not self.workers.running:
                raise AssertionError(f"no worker is left: {self.workers.started[-1].exit_reason()}")
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds:.0f} s: {self.waiting()} in Redis, {self.stored()} stored")
            time.sleep(0.02)

    def _count(self, statement: str) -> int:
        with self.database.autocommit() as connection:
            return int(connection.execute(text(statement)).scalar_one())
