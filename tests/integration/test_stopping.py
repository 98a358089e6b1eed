"""A requested stop: the worker keeps its lease until the last entry in flight is acknowledged (INV-8)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import text

from tests.support.pipeline import drained, publish, running, stored
from tests.support.waiting import until
from triagem.contracts.errors import DatabaseUnavailable, InboxUnavailable
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.inbox.lease import list_workers
from triagem.stack import Endpoints
from triagem.worker.pipeline import Pipeline

_LEASE_S = 2.0


@contextmanager
def stopping_while_a_window_waits(database: Database, inbox: Inbox, pipeline: Pipeline) -> Iterator[None]:
    """A stop is requested and cannot end, because a window of 5 tickets waits for a lock; it ends after the block."""
    stop = Thread(target=pipeline.stop)
    with database.engine.begin() as other:
        other.execute(text("LOCK TABLE tickets IN EXCLUSIVE MODE"))  # reads continue
        publish(inbox, 5)
        until(lambda: other.execute(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")).scalar_one())
        stop.start()
        yield
    stop.join()


def stays_alive(inbox: Inbox) -> bool:
    """Whether a worker stays alive for the duration of two leases."""
    end = time.monotonic() + 2 * _LEASE_S
    while time.monotonic() < end:
        if len(list_workers(inbox.redis)) != 1:
            return False
        time.sleep(0.05)
    return True


def test_the_lease_outlasts_a_window_that_waits(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    """Otherwise other workers would reclaim the entries and classify them again."""
    with running(endpoints, instant_models, lease_s=_LEASE_S) as (pipeline, _):
        with stopping_while_a_window_waits(database, inbox, pipeline):
            assert stays_alive(inbox)
        assert drained(inbox)
        assert len(list_workers(inbox.redis)) == 0
    assert stored(database) == 5


def test_the_lease_outlasts_a_short_outage_of_redis(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(endpoints, instant_models, lease_s=_LEASE_S) as (pipeline, _):
        refresh, calls = pipeline.lease.refresh, iter(range(10**6))

        def fails_once() -> bool:
            if next(calls) == 0:
                raise InboxUnavailable("away")
            return refresh()

        with stopping_while_a_window_waits(database, inbox, pipeline):
            monkeypatch.setattr(pipeline.lease, "refresh", fails_once)
            assert stays_alive(inbox)
    assert drained(inbox)


def test_a_stop_ends_while_the_classifier_waits_for_postgres_and_more_batches_wait_for_it(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object, **__: object) -> list[float]:
        raise DatabaseUnavailable("Postgres does not answer")

    monkeypatch.setattr("triagem.worker.classifier.recent_confidences", unavailable)
    with running(endpoints, instant_models, window_max=128, stop_deadline_s=20) as (pipeline, _):
        publish(inbox, 1000)
        until(lambda: pipeline.supervisor.waiting_for is not None)
        until(lambda: not pipeline._to_model.wait_until_empty(0))  # the state that a stop must end

        assert pipeline.stop()

    assert stored(database) == 0
    assert inbox.depth(Lane.LIVE).entries == 1000
