"""The solo marker is set while the model computes a quarantined entry, and at no other time (INV-9)."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.engines import NoopModel, noop
from tests.support.pipeline import drained, publish, running, stored
from tests.support.waiting import until
from triagem.contracts.model import Tokens
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.inbox.reclaim import in_progress_key, mark_in_progress
from triagem.stack import Endpoints
from triagem.worker import health
from triagem.worker.batch import CommitBatch
from triagem.worker.pipeline import Pipeline


@pytest.fixture
def quarantined(inbox: Inbox) -> None:
    """One entry in quarantine, in an idle system."""
    publish(inbox, 1)
    mark_in_progress(inbox.redis, "dead", inbox.fetch(Lane.LIVE, "dead", 1))


def alone(inbox: Inbox, pipeline: Pipeline) -> bool:
    """Whether a crash would now be blamed on one entry."""
    return inbox.redis.hget(in_progress_key(pipeline.lease.consumer), "alone") == b"1"


@contextmanager
def locked(database: Database, table: str) -> Iterator[None]:
    """Statements that use the table wait."""
    with database.engine.begin() as other:
        other.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield


class Gate(NoopModel):
    """Waits in the model, for any text but the self-check's, until the gate opens."""

    entered, opened = threading.Event(), threading.Event()

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        if len(batch) == 1:
            self.entered.set()
            assert self.opened.wait(90)
        return super().probabilities(batch)


@pytest.fixture
def gate() -> type[Gate]:
    Gate.entered, Gate.opened = threading.Event(), threading.Event()
    return Gate


@pytest.mark.usefixtures("quarantined")
def test_while_the_worker_looks_up_an_earlier_prediction_it_is_not_set(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    blocked = text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    with locked(database, "predictions"), running(endpoints, instant_models) as (pipeline, _):
        with database.autocommit() as connection:
            until(lambda: connection.execute(blocked).scalar_one())
        assert not alone(inbox, pipeline)


@pytest.mark.usefixtures("quarantined")
def test_while_the_model_computes_it_is_set_and_a_stop_clears_it(
    endpoints: Endpoints, inbox: Inbox, instant_models: Path, gate: type[Gate]
) -> None:
    with running(endpoints, instant_models, lambda folder: gate(noop(folder).manifest)) as (pipeline, _):
        assert gate.entered.wait(90)
        assert alone(inbox, pipeline)
        pipeline.request_stop()
        kept = alone(inbox, pipeline)
        gate.opened.set()  # before the assertion: the worker ends only after the model
        assert not kept


@pytest.mark.usefixtures("quarantined")
def test_a_stop_keeps_it_if_the_model_hangs(
    endpoints: Endpoints, inbox: Inbox, instant_models: Path, gate: type[Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The liveness probe stops a worker that hangs, and the text is blamed for it."""
    with running(endpoints, instant_models, lambda folder: gate(noop(folder).manifest)) as (pipeline, _):
        assert gate.entered.wait(90)
        monkeypatch.setattr(pipeline.supervisor, "heartbeat_age_s", lambda: health.ALIVE_S + 1)
        pipeline.request_stop()
        kept = alone(inbox, pipeline)
        monkeypatch.undo()
        gate.opened.set()
        assert kept


@pytest.mark.usefixtures("quarantined")
def test_while_the_result_waits_for_the_committer_it_is_not_set(
    endpoints: Endpoints, inbox: Inbox, instant_models: Path, gate: type[Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committer's queue is full, as during an outage of Postgres."""
    waiting, release = threading.Event(), threading.Event()

    def commit(_: CommitBatch) -> None:
        waiting.set()
        assert release.wait(300)  # longer than `until` waits

    with running(endpoints, instant_models, lambda folder: gate(noop(folder).manifest)) as (pipeline, _):
        assert gate.entered.wait(90)
        monkeypatch.setattr(pipeline.committer, "_commit", commit)
        pipeline._submit(CommitBatch())
        assert waiting.wait(90)
        for _ in range(20):
            pipeline._submit(CommitBatch(), wait=False)
        gate.opened.set()
        try:
            until(lambda: not alone(inbox, pipeline))
        finally:
            monkeypatch.undo()
            release.set()


@pytest.mark.usefixtures("quarantined")
def test_it_is_cleared_under_the_name_that_lost_its_lease_meanwhile(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path, gate: type[Gate]
) -> None:
    with running(endpoints, instant_models, lambda folder: gate(noop(folder).manifest)) as (pipeline, _):
        assert gate.entered.wait(90)
        previous = pipeline.lease.consumer
        inbox.redis.delete(f"triagem:{{0}}:lease:{previous}")
        until(lambda: pipeline.lease.consumer != previous)
        gate.opened.set()
        until(lambda: drained(inbox))
        until(lambda: inbox.redis.exists(in_progress_key(previous)) == 0)
    assert stored(database) == 1


def test_samples_of_an_idle_worker_do_not_wait_for_the_committer(
    endpoints: Endpoints, inbox: Inbox, instant_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the worker waits, it may fetch a quarantined entry with its marker."""
    waiting, release = threading.Event(), threading.Event()

    def commit(_: CommitBatch) -> None:
        waiting.set()
        assert release.wait(90)

    with running(endpoints, instant_models) as (pipeline, _):
        monkeypatch.setattr(pipeline.committer, "_commit", commit)
        pipeline._submit(CommitBatch())
        assert waiting.wait(90)
        for _ in range(20):
            pipeline._submit(CommitBatch(), wait=False)
        monkeypatch.undo()
        release.set()
