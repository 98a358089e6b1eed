"""Only bad rows become dead letters, and the rest of the batch commits. With a broken device, no entry becomes a dead
letter (INV-10, INV-11)."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from redis import Redis
from sqlalchemy import text

from tests.support.engines import NoopModel, noop
from tests.support.pipeline import dead_letter_rows, drained, publish, running, stored
from tests.support.waiting import until
from triagem import Publisher
from triagem.contracts.errors import InboxFull, ModelBroken, OutOfMemory
from triagem.contracts.model import Tokens
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.tickets.dead_letters import list_dead_letters
from triagem.inbox import Entry, Inbox
from triagem.inbox.lease import Lease
from triagem.inbox.reclaim import Reclaimer, in_progress_key, mark_in_progress
from triagem.inbox.stream import quarantine_key
from triagem.stack import Endpoints

POISON: Final = 666


class RaisingModel(NoopModel):
    """Raises an error that quotes the customer's text when `veneno` is in the batch."""

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        if any("indizível" in text for text in texts):
            raise RecursionError("my card number is 4711")
        tokenized = super().tokenize(texts)
        return [
            Tokens((POISON,), truncated=False) if "veneno" in text else tokens
            for text, tokens in zip(texts, tokenized, strict=True)
        ]

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        if any(POISON in tokens.ids for tokens in batch):
            raise ValueError("my card number is 4711")
        return super().probabilities(batch)


class NanModel(RaisingModel):
    """Returns NaN for `veneno`."""

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        rows = NoopModel.probabilities(self, batch)
        nan = [float("nan")] * 2
        return [nan if POISON in tokens.ids else row for tokens, row in zip(batch, rows, strict=True)]


class SmallMemoryModel(NoopModel):
    """Runs out of memory above 16 texts."""

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        if len(batch) > 16:
            raise OutOfMemory("CUDA out of memory")
        return super().probabilities(batch)


class LostDeviceModel(NoopModel):
    """Loses its device after the self-check."""

    calls = 0

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        type(self).calls += 1
        if type(self).calls > 1:
            raise RuntimeError("CUDA error: device-side assert")
        return super().probabilities(batch)


@pytest.mark.parametrize("word", ["veneno", "indizível"], ids=["the model raises", "the tokenizer raises"])
@pytest.mark.parametrize("model_class", [RaisingModel, NanModel])
def test_a_text_that_fails_is_kept_as_a_dead_letter_and_its_neighbours_commit(
    endpoints: Endpoints, inbox: Inbox, instant_models: Path, model_class: type[NoopModel], word: str
) -> None:
    publish(inbox, 20)
    Publisher(inbox).publish(source="crm", external_id="bad", text=f"my card number is {word}")
    publish(inbox, 50)
    with running(endpoints, instant_models, lambda folder: model_class(noop(folder).manifest)) as (_, failed):
        until(lambda: drained(inbox))
        publish(inbox, 60)
        until(lambda: drained(inbox))
        assert not failed.is_set()
    with Database(endpoints.database_url) as database:
        assert stored(database) == 60
        ((payload, reason),) = dead_letter_rows(database)
    assert '"external_id":"bad"' in payload
    assert "text" in reason
    assert "card" not in reason


def test_one_poison_ticket_alone_in_an_idle_system_does_not_stop_the_worker(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    with running(endpoints, instant_models, lambda folder: RaisingModel(noop(folder).manifest)) as (_, failed):
        Publisher(inbox).publish(source="crm", external_id="bad", text="veneno")
        until(lambda: len(dead_letter_rows(database)) == 1)
        until(lambda: drained(inbox))
        assert not failed.is_set()


def test_out_of_memory_for_32_but_not_for_16_loses_nothing(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    publish(inbox, 100)
    with running(endpoints, instant_models, lambda folder: SmallMemoryModel(noop(folder).manifest)):
        until(lambda: drained(inbox))
    assert (stored(database), dead_letter_rows(database)) == (100, [])


def test_a_device_that_breaks_stops_the_worker_and_dead_letters_nothing(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    LostDeviceModel.calls = 0
    publish(inbox, 40)
    with running(endpoints, instant_models, lambda folder: LostDeviceModel(noop(folder).manifest)) as (
        pipeline,
        failed,
    ):
        assert failed.wait(90)
    assert type(pipeline.supervisor.failure) is ModelBroken
    assert (stored(database), dead_letter_rows(database)) == (0, [])
    with running(endpoints, instant_models):
        until(lambda: drained(inbox))
    assert stored(database) == 40
    assert inbox.redis.exists(quarantine_key(Lane.LIVE), in_progress_key(pipeline.lease.consumer)) == 0


@pytest.mark.parametrize(("error", "kept"), [(SystemExit(), 1), (ModelBroken("broken"), 0)])
def test_the_marker_stays_after_an_exit_that_an_entry_may_have_caused(
    endpoints: Endpoints, inbox: Inbox, instant_models: Path, error: BaseException, kept: int
) -> None:
    """INV-9: isolation of failing entries does not catch SystemExit and libraries' panics, which end the worker."""

    class ExitingModel(RaisingModel):
        def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
            if any(POISON in tokens.ids for tokens in batch):
                raise error
            return super().probabilities(batch)

    Publisher(inbox).publish(source="crm", external_id="bad", text="veneno")
    with running(endpoints, instant_models, lambda folder: ExitingModel(noop(folder).manifest)) as (pipeline, failed):
        assert failed.wait(90)
        assert inbox.redis.exists(in_progress_key(pipeline.lease.consumer)) == kept
    assert inbox.redis.exists(in_progress_key(pipeline.lease.consumer)) == kept


def test_with_a_device_that_is_broken_from_the_start_no_ticket_is_fetched(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    LostDeviceModel.calls = 1
    publish(inbox, 3)
    with running(endpoints, instant_models, lambda folder: LostDeviceModel(noop(folder).manifest)) as (
        pipeline,
        failed,
    ):
        assert failed.wait(90)
    assert type(pipeline.supervisor.failure) is ModelBroken
    assert inbox.depth(Lane.LIVE).waiting == 3


def test_a_ticket_that_crashed_two_workers_alone_becomes_a_dead_letter_without_the_model(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    """INV-9."""
    publish(inbox, 3)
    fetched = inbox.fetch(Lane.LIVE, "dead-0", 3)
    for number in range(2):
        mark_in_progress(inbox.redis, f"dead-{number}", fetched[1:2], alone=True)
        Reclaimer(inbox).reclaim(Lane.LIVE, f"dead-{number + 1}", 10)
    with running(endpoints, instant_models, lease_s=1.0):
        until(lambda: drained(inbox))
    ((payload, reason),) = dead_letter_rows(database)
    assert payload.encode() == fetched[1].payload
    assert "2 workers crashed" in reason
    assert [letter.attempts for letter in list_dead_letters(database, limit=9)] == [3]
    assert stored(database) == 2


def test_suspects_are_classified_alone_and_cleared_and_each_marker_lists_what_is_computed(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    """INV-9: with a marker written while other entries compute, a suspect would be blamed for their crash."""
    markers: list[tuple[int, int, bool]] = []

    class RecordingModel(NoopModel):
        def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
            time.sleep(0.02)  # time in which a wrong fetcher would write the marker too early
            marker = inbox.redis.hgetall(in_progress_key(pipeline.lease.consumer)) if ready.is_set() else {}
            if marker:
                markers.append((len(batch), len(marker[b"live"].split()), marker[b"alone"] == b"1"))
            return super().probabilities(batch)

    ready = threading.Event()
    publish(inbox, 30)
    mark_in_progress(inbox.redis, "dead", inbox.fetch(Lane.LIVE, "dead", 30)[:10])
    with running(endpoints, instant_models, lambda folder: RecordingModel(noop(folder).manifest), batch_size=5) as (
        pipeline,
        _,
    ):
        ready.set()
        until(lambda: drained(inbox))
    assert stored(database) == 30
    assert sorted(marker for marker in markers if marker[2]) == [(1, 1, True)] * 10
    assert [batch for batch, in_progress, alone in markers if not alone and in_progress < batch] == []
    assert sum(batch for batch, _, _ in markers) == 30
    assert inbox.redis.exists(quarantine_key(Lane.LIVE)) == 0


def test_a_marker_that_redis_had_no_memory_for_is_written_at_the_next_attempt(
    endpoints: Endpoints, inbox: Inbox, instant_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INV-9."""
    marked: list[int] = []

    def full_once(redis: Redis, consumer: str, entries: Sequence[Entry], *, alone: bool = False) -> None:
        marked.append(len(entries))
        if len(marked) == 1:
            raise InboxFull("no memory")
        mark_in_progress(redis, consumer, entries, alone=alone)

    monkeypatch.setattr("triagem.worker.fetcher.mark_in_progress", full_once)
    publish(inbox, 5)
    with running(endpoints, instant_models):
        until(lambda: drained(inbox))
    assert marked == [5, 5]


def test_a_dead_letter_is_stored_before_its_entry_is_acknowledged(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    """INV-11."""
    blocked = text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    with running(endpoints, instant_models, lambda folder: RaisingModel(noop(folder).manifest)):
        with database.engine.begin() as writer:
            writer.execute(text("LOCK TABLE dead_letters IN EXCLUSIVE MODE"))  # the insert of the dead letter waits
            Publisher(inbox).publish(source="crm", external_id="bad", text="veneno")
            until(lambda: writer.execute(blocked).scalar_one())
            assert inbox.redis.xlen("triagem:{0}:live") == 1
        until(lambda: drained(inbox))
    assert len(dead_letter_rows(database)) == 1


def test_an_entry_that_another_worker_has_reclaimed_is_not_dead_lettered(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    """INV-11: a worker dead-letters an entry only while Redis still names the worker as the owner."""
    other_worker = Lease(inbox.redis, 60)
    other_worker.acquire()

    class ReclaimedMeanwhile(RaisingModel):
        def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
            if any(POISON in tokens.ids for tokens in batch):
                inbox.redis.xclaim("triagem:{0}:live", "workers", other_worker.consumer, 0, ids)  # type: ignore[arg-type]
            return super().probabilities(batch)

    Publisher(inbox).publish(source="crm", external_id="bad", text="veneno")
    ids = [row[0] for row in inbox.redis.xrange("triagem:{0}:live") or ()]
    with running(endpoints, instant_models, lambda folder: ReclaimedMeanwhile(noop(folder).manifest)) as (
        pipeline,
        _,
    ):
        until(lambda: inbox.in_flight(Lane.LIVE) == 1)
        until(lambda: len(pipeline.in_flight) == 0)
        assert dead_letter_rows(database) == []
        assert inbox.redis.xlen("triagem:{0}:live") == 1
