"""Runs a pipeline in the test process, and reads its results."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from tests.support.engines import noop
from triagem import Publisher, TicketFields
from triagem.contracts.model import Model
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.registry import Registry
from triagem.stack import Endpoints
from triagem.worker.pipeline import Pipeline
from triagem.worker.settings import WorkerSettings

Load = Callable[[Path], Model]


@contextmanager
def running(
    endpoints: Endpoints, models: Path, load: Load = noop, *, lease_s: float = 15.0, **settings: object
) -> Iterator[tuple[Pipeline, threading.Event]]:
    """A started pipeline, stopped at the end; the event is set if it fails.

    A busy machine can suspend the process for longer than a lease of a second, which then is lost.
    """
    failed = threading.Event()
    pipeline = Pipeline(
        inbox=Inbox(connect(endpoints.redis_url), InboxSettings(lease_s=lease_s)),
        database=Database(endpoints.database_url),
        registry=Registry(models),
        load=load,
        settings=WorkerSettings.model_validate(
            # An hour, because after the deadline a failed pipeline exits its process, which here runs the tests.
            {"claim_every_s": 0.1, "poll_every_s": 0.05, "stop_deadline_s": 3600, **settings}
        ),
        on_failure=failed.set,
    )
    pipeline.start()
    try:
        yield pipeline, failed
    finally:
        pipeline.stop()


def publish(inbox: Inbox, count: int, *, lane: Lane = Lane.LIVE, text: str = "minha internet caiu") -> None:
    rows: list[TicketFields] = [
        {"source": "crm", "external_id": str(number), "text": f"{text} {number}"} for number in range(count)
    ]
    Publisher(inbox).publish_many(rows, lane=lane)


def stored(database: Database) -> int:
    with database.autocommit() as connection:
        return int(connection.execute(text("SELECT count(*) FROM tickets")).scalar_one())


def dead_letter_rows(database: Database) -> list[tuple[str, str]]:
    """Payload and reason of each dead letter."""
    with database.autocommit() as connection:
        rows = connection.execute(text("SELECT payload, reason FROM dead_letters ORDER BY id")).all()
    return [(bytes(row.payload).decode(), row.reason) for row in rows]


def drained(inbox: Inbox) -> bool:
    """Whether no entry is left in Redis."""
    return all(inbox.redis.xlen(f"triagem:{{0}}:{lane}") == 0 for lane in Lane)
