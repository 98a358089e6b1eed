"""Bad rows alone become dead letters, their neighbours commit, and a broken device condemns nobody (INV-10, 11)."""

import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.support.engines import NoopModel, noop
from tests.support.pipeline import dead_letter_rows, drained, publish, running, stored
from tests.support.waiting import until
from triagem import Publisher
from triagem.cli.stack import Endpoints
from triagem.contracts.errors import InboxFull, ModelBroken, OutOfMemory
from triagem.contracts.model import Tokens
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.dead_letters import list_dead_letters
from triagem.inbox import Entry, Inbox
from triagem.inbox.in_progress import InProgressMarkers, in_progress_key
from triagem.inbox.lease import Lease
from triagem.inbox.reclaim import Reclaimer
from triagem.inbox.stream import quarantine_key

POISON: Final = 666


class Choking(NoopModel):
    """Raises with the customer's words when `veneno` is in the batch."""

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        if any("indizível" in one for one in texts):
            raise RecursionError("my card number is 4711")
        tokens = super().tokenize(texts)
        return [
            Tokens((POISON,), truncated=False) if "veneno" in words else one
            for words, one in zip(texts, tokens, strict=True)
        ]

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        if any(POISON in tokens.ids for tokens in batch):
            raise ValueError("my card number is 4711")
        return super().probabilities(batch)


class Nan(Choking):
    """Answers no number for `veneno`."""

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        good = NoopModel.probabilities(self, batch)
        nan = [float("nan")] * 2
        return [nan if POISON in tokens.ids else row for tokens, row in zip(batch, good, strict=True)]


class Cramped(NoopModel):
    """Has room for 16 texts."""

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        if len(batch) > 16:
            raise OutOfMemory("CUDA out of memory")
        return super().probabilities(batch)


class Dying(NoopModel):
    """Its device is lost after the self-check."""

    asked = 0

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        type(self).asked += 1
        if type(self).asked > 1:
            raise RuntimeError("CUDA error: device-side assert")
        return super().probabilities(batch)


@pytest.mark.parametrize("word", ["veneno", "indizível"], ids=["the model raises", "the tokenizer raises"])
@pytest.mark.parametrize("kind", [Choking, Nan])
def test_a_text_that_fails_is_kept_as_a_dead_letter_and_its_neighbours_commit(
    endpoints: Endpoints, inbox: Inbox, instant_models: Path, kind: type[NoopModel], word: str
) -> None:
    publish(inbox, 20)
    Publisher(inbox).publish(source="crm", external_id="bad", text=f"my card number is {word}")
    publish(inbox, 50)
    with running(endpoints, instant_models, lambda folder: kind(noop(folder).manifest)) as (_, failed):
        until(lambda: drained(inbox))
        publish(inbox, 60)
        until(lambda: drained(inbox))
        assert not failed.is_set()
    with Database(endpoints.database_url) as database:
        assert stored(database) == 60
        ((payload, why),) = dead_letter_rows(database)
    assert '"external_id":"bad"' in payload
    assert "text" in why
    assert "card" not in why


def test_one_poison_ticket_alone_in_an_idle_system_does_not_stop_the_worker(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    with running(endpoints, instant_models, lambda folder: Choking(noop(folder).manifest)) as (_, failed):
        Publisher(inbox).publish(source="crm", external_id="bad", text="veneno")
        until(lambda: len(dead_letter_rows(database)) == 1)
        until(lambda: drained(inbox))
        assert not failed.is_set()


def test_out_of_memory_for_32_but_not_for_16_loses_nothing(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    publish(inbox, 100)
    with running(endpoints, instant_models, lambda folder: Cramped(noop(folder).manifest)):
        until(lambda: drained(inbox))
    assert (stored(database), dead_letter_rows(database)) == (100, [])


def test_a_device_that_breaks_stops_the_worker_and_condemns_nobody(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    Dying.asked = 0
    publish(inbox, 40)
    with running(endpoints, instant_models, lambda folder: Dying(noop(folder).manifest)) as (pipeline, failed):
        assert failed.wait(30)
    assert type(pipeline.supervisor.failure) is ModelBroken
    assert (stored(database), dead_letter_rows(database)) == (0, [])
    with running(endpoints, instant_models):
        until(lambda: drained(inbox))
    assert stored(database) == 40
    assert inbox.redis.exists(quarantine_key(Lane.LIVE), in_progress_key(pipeline.lease.consumer)) == 0


def test_a_device_that_is_broken_from_the_start_lets_no_ticket_be_taken(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    Dying.asked = 1
    publish(inbox, 3)
    with running(endpoints, instant_models, lambda folder: Dying(noop(folder).manifest)) as (pipeline, failed):
        assert failed.wait(30)
    assert type(pipeline.supervisor.failure) is ModelBroken
    assert inbox.depth(Lane.LIVE).waiting == 3


def test_a_ticket_that_ended_two_workers_alone_is_kept_as_a_dead_letter_unseen_by_the_model(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    """INV-9."""
    publish(inbox, 3)
    taken = inbox.fetch(Lane.LIVE, "dead-0", 3)
    for number in range(2):
        InProgressMarkers(inbox.redis).mark(f"dead-{number}", taken[1:2], alone=True)
        Reclaimer(inbox).reclaim(Lane.LIVE, f"dead-{number + 1}", 10)
    with running(endpoints, instant_models):
        until(lambda: drained(inbox))
    ((payload, why),) = dead_letter_rows(database)
    assert payload.encode() == taken[1].payload
    assert "2 workers crashed" in why
    assert [one.attempts for one in list_dead_letters(database, limit=9)] == [3]
    assert stored(database) == 2


def test_suspects_are_classified_alone_and_cleared_and_each_trial_tells_what_is_at_work(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    """INV-9: were a suspect's trial written while others compute, it would be blamed for their deaths."""
    trials: list[tuple[int, int, bool]] = []

    class Noting(NoopModel):
        def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
            time.sleep(0.02)  # time for the taker to write too early
            trial = inbox.redis.hgetall(in_progress_key(pipeline.lease.consumer)) if ready.is_set() else {}
            if trial:
                trials.append((len(batch), len(trial[b"live"].split()), trial[b"alone"] == b"1"))
            return super().probabilities(batch)

    ready = threading.Event()
    publish(inbox, 30)
    InProgressMarkers(inbox.redis).mark("dead", inbox.fetch(Lane.LIVE, "dead", 30)[:10])
    with running(endpoints, instant_models, lambda folder: Noting(noop(folder).manifest), batch_size=5) as (
        pipeline,
        _,
    ):
        ready.set()
        until(lambda: drained(inbox))
    assert stored(database) == 30
    assert sorted(one for one in trials if one[2]) == [(1, 1, True)] * 10
    assert [batch for batch, at_work, alone in trials if not alone and at_work < batch] == []
    assert sum(batch for batch, _, _ in trials) == 30
    assert inbox.redis.exists(quarantine_key(Lane.LIVE)) == 0


def test_a_trial_that_redis_had_no_memory_for_is_written_at_the_next_chance(
    endpoints: Endpoints, inbox: Inbox, instant_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INV-9."""
    told: list[int] = []
    mark = InProgressMarkers.mark

    def full_at_first(
        self: InProgressMarkers, consumer: str, entries: Iterable[Entry], *, alone: bool = False
    ) -> None:
        entries = list(entries)
        told.append(len(entries))
        if len(told) == 1:
            raise InboxFull("no memory")
        mark(self, consumer, entries, alone=alone)

    monkeypatch.setattr(InProgressMarkers, "mark", full_at_first)
    publish(inbox, 5)
    with running(endpoints, instant_models):
        until(lambda: drained(inbox))
    assert told == [5, 5]


def test_what_another_worker_has_claimed_is_not_buried_by_us(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    """INV-11: only while Redis still names us the owner."""
    thief = Lease(inbox.redis, 60)
    thief.acquire()

    class Robbed(Choking):
        def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
            if any(POISON in tokens.ids for tokens in batch):
                inbox.redis.xclaim("triagem:{0}:live", "workers", thief.consumer, 0, ids)  # type: ignore[arg-type]
            return super().probabilities(batch)

    Publisher(inbox).publish(source="crm", external_id="bad", text="veneno")
    ids = [row[0] for row in inbox.redis.xrange("triagem:{0}:live") or ()]
    with running(endpoints, instant_models, lambda folder: Robbed(noop(folder).manifest)) as (pipeline, _):
        until(lambda: inbox.in_flight(Lane.LIVE) == 1)
        until(lambda: pipeline.fetcher.in_flight == 0)
        assert dead_letter_rows(database) == []
        assert inbox.redis.xlen("triagem:{0}:live") == 1
