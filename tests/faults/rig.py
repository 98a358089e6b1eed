"""What a fault is inflicted on: real servers, a registry, tickets, workers, and the book of what is owed."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import text

from tests.faults.book import Book
from tests.faults.crew import LEASE_S, Crew
from tests.faults.models import two_versions
from tests.faults.outcome import Outcome, look, outcome
from tests.faults.producing import Producing
from triagem.cli.processes import WorkerProcess
from triagem.cli.stack import LocalStack, ensure_writer_login
from triagem.contracts.errors import Retryable
from triagem.contracts.ticket import Lane, Ticket, accept
from triagem.db import Database
from triagem.db.tables import EMPTY_ALL
from triagem.db.upgrade import upgrade
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.producer import Publisher

_CHUNK: Final = 250
_STALLED_S: Final = 20  # above the slowest window, 5 s, and a lease or two
_LATE_S: Final = 2.0
_MORE, _FAR = 500, 1_000_000  # tickets, and a number that no other ticket has


class Rig:
    """Servers for all faults of a run, emptied for each; fsync and append-only file as in production."""

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
        """Empty servers, a new book, fresh models and dice; at the end no worker is left."""
        self._faults += 1
        self.fault, self.book = fault, Book()
        self.dice = random.Random(f"{self.seed} {fault}")  # a fault run alone meets the same moments
        self.folder = self._folder / str(self._faults)
        self.folder.mkdir()
        self.registry = two_versions(self.folder / "models")
        redis = connect(self.endpoints.redis_url)
        redis.flushall()
        self.inbox = Inbox(redis, InboxSettings(lease_s=LEASE_S))
        self.inbox.make_groups()
        self.publisher = Publisher(self.inbox)
        self.crew = Crew(self.endpoints, self.inbox, self.registry.root, self.folder)
        with self.database.autocommit() as connection:
            connection.execute(EMPTY_ALL)
        try:
            yield
        finally:
            self.crew.dismiss()

    def outcome(self, problem: str = "") -> Outcome:
        """What the fault has left behind."""
        return outcome(self.fault, self.book, look(self.database), problem)

    def tickets(self, number: int, *, first: int = 0, **changes: Any) -> list[Ticket]:
        """Tickets `first`, `first + 1`, …, of different lengths."""
        now = datetime.now(UTC)
        rows = (
            {"source": "crm", "external_id": f"T-{one}", "text": f"ticket {one} " + "palavra " * (one % 40)}
            for one in range(first, first + number)
        )
        return [accept({"revised_at": now, **row, **changes}, now=now) for row in rows]

    def publish(self, tickets: int | Sequence[Ticket], *, lane: Lane = Lane.LIVE) -> list[Ticket]:
        """Hand in tickets, or so many new ones, and note what was accepted. Raises what the publisher raises."""
        new = self.tickets(tickets, first=len(self.book.revisions)) if isinstance(tickets, int) else list(tickets)
        for start in range(0, len(new), _CHUNK):
            chunk = new[start : start + _CHUNK]
            self.publisher.put(chunk, lane=lane)
            self.book.accept(chunk)
        return new

    @contextmanager
    def producing(self, number: int) -> Iterator[Producing]:
        """A CRM that hands in tickets all the while, and repeats what was not accepted; waits for it at the end."""
        producing = Producing(self, self.tickets(number, first=len(self.book.revisions)))
        producing.start()
        try:
            yield producing
        except BaseException:
            producing.leave()
            raise
        producing.finish()

    def publish_through(self, redis_url: str) -> None:
        """Hand in over another way to Redis from now on."""
        self.publisher = Publisher.from_url(redis_url, self.inbox.settings)

    def start(self, **environment: object) -> WorkerProcess:
        """One more worker process."""
        return self.crew.start(**environment)

    def kill(self, worker: WorkerProcess) -> None:
        """SIGKILL, while there is work."""
        assert self.waiting() > 0, f"everything was done before kill {self.book.kills + 1}"
        worker.kill()
        self.book.kills += 1

    def busy(self, worker: WorkerProcess, *, stored: float = 0) -> None:
        """Return at a random moment after this worker is at work, and so many tickets have been stored."""
        idle_since = time.monotonic()

        def at_work() -> bool:
            nonlocal idle_since
            if self.crew.at_work(worker) and self.stored() >= stored:
                return True
            if self.waiting() != 0:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > _LATE_S:  # a busy machine looked when all was done: there is more
                self.publish(self.tickets(_MORE, first=_FAR + len(self.book.revisions)))
            return False

        self.until(at_work)
        time.sleep(self.dice.uniform(0, 0.1))

    def recovers(self) -> None:
        """The fault is over: wait for the first newly committed row, and note how long that took."""
        began = time.monotonic()
        before = -1

        def again() -> bool:
            nonlocal before
            before = before if before >= 0 else self.stored()
            return before >= 0 and (self.stored() > before or self.waiting() == 0)

        self.until(again)
        self.book.recoveries.append(time.monotonic() - began)

    def drain(self) -> None:
        """Wait until nothing is left in Redis, nor pending; fails once nothing has moved for a while."""
        while seen := self.waiting():
            self.until(lambda seen=seen: self.waiting() != seen, seconds=_STALLED_S)  # type: ignore[misc]
        self.until(lambda: not any(self.inbox.in_flight(lane) for lane in Lane), seconds=_STALLED_S)

    def stored(self) -> int:
        """Tickets that have a row; -1 while Postgres is away."""
        try:
            return self._count("SELECT count(*) FROM tickets")
        except Retryable:
            return -1

    def waiting(self) -> int:
        """Entries in Redis, in flight too; -1 while it is away."""
        try:
            depths = [self.inbox.depth(lane) for lane in Lane]
        except Retryable:
            return -1
        return sum(depth.waiting + depth.in_flight for depth in depths)

    def dead(self) -> int:
        """Dead letters."""
        return self._count("SELECT count(*) FROM dead_letters")

    def versions(self) -> set[str]:
        """The versions that classified anything."""
        with self.database.autocommit() as connection:
            return set(connection.execute(text("SELECT DISTINCT model_version FROM predictions")).scalars())

    def until(self, done: Callable[[], bool], *, seconds: float = 30) -> None:
        """Wait; fails as soon as no worker is left that could bring it about."""
        end = time.monotonic() + seconds
        while not done():
            if self.crew.started and not self.crew.left:
                raise AssertionError(f"no worker is left: {self.crew.started[-1].why_ended()}")
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds:.0f} s: {self.waiting()} in Redis, {self.stored()} stored")
            time.sleep(0.02)

    def _count(self, statement: str) -> int:
        with self.database.autocommit() as connection:
            return int(connection.execute(text(statement)).scalar_one())
