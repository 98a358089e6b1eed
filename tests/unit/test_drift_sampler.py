"""Sampling for drift: which tickets are embedded and when; few, only live ones, never at the cost of a ticket."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.support.builders import Clock, entry, manifest, ticket
from tests.support.engines import EmbeddingNoopModel, NoopModel
from tests.support.windows import result
from triagem.contracts.model import Model, Tokens
from triagem.contracts.ticket import PREDICT_SOURCE, Lane
from triagem.db.tickets.samples import NewSample
from triagem.db.tickets.window import ClassifiedTicket
from triagem.worker.batch import NewTicket, WorkItem
from triagem.worker.drift_sampler import DriftSampler, is_sampled

MODEL = EmbeddingNoopModel(manifest())


def classified(number: int = 1, *, lane: Lane = Lane.LIVE, **changes: Any) -> tuple[WorkItem, ClassifiedTicket]:
    """A ticket of `number` words, with its result."""
    item = NewTicket(entry(number, lane), "", tokens=[Tokens(ids=range(number), truncated=False)], ticket=ticket())
    return replace(item, **changes), result(lane=lane, external_id=str(number))


def sampled(*pairs: tuple[WorkItem, ClassifiedTicket], model: Model = MODEL, share: float = 1.0) -> list[NewSample]:
    """The samples of these tickets while no other ticket waits."""
    sampler = DriftSampler(share, size=32)
    sampler.add(model, pairs)
    return sampler.samples(idle=True)


def test_a_sample_holds_the_tickets_result_and_embedding() -> None:
    pair = classified(3)

    (sample,) = sampled(pair)

    assert sample == (pair[1], [3.0, 3.0])


def test_the_given_share_of_tickets_is_sampled() -> None:
    rows = [result("same words", external_id=str(number)) for number in range(10_000)]

    assert 800 < sum(is_sampled(row, 0.1) for row in rows) < 1200


def test_a_redelivered_ticket_gets_the_same_sampling_decision() -> None:
    rows = [result(str(number)) for number in range(100)]

    assert [is_sampled(row, 0.5) for row in rows] == [is_sampled(replace(row, epoch=2), 0.5) for row in rows]


def test_a_share_of_0_samples_nothing_and_of_1_everything() -> None:
    rows = [result(str(number)) for number in range(100)]

    assert not any(is_sampled(row, 0.0) for row in rows)
    assert all(is_sampled(row, 1.0) for row in rows)
    assert sampled(classified(), share=0.0) == []


@pytest.mark.parametrize(
    "pair",
    [
        classified(lane=Lane.BULK),
        classified(cached=(result().prediction, result().classified_at)),
        classified(entry=replace(entry(), solo_crashes=1)),
        (classified()[0], result(source=PREDICT_SOURCE)),
    ],
    ids=["bulk", "cached prediction", "suspected of crashing a worker", "of POST /predict"],
)
def test_some_tickets_are_never_sampled(pair: tuple[WorkItem, ClassifiedTicket]) -> None:
    assert sampled(pair) == []


def test_an_engine_without_embeddings_gives_no_samples() -> None:
    assert sampled(classified(), model=NoopModel(manifest())) == []


def test_while_tickets_wait_samples_are_embedded_only_in_full_micro_batches() -> None:
    sampler = DriftSampler(1.0, size=3)
    sampler.add(MODEL, [classified(1), classified(2)])
    assert sampler.samples(idle=False) == []

    sampler.add(MODEL, [classified(3), classified(4)])

    assert len(sampler.samples(idle=False)) == 3
    assert sampler.samples(idle=True) == []


def test_samples_are_embedded_at_most_once_per_second() -> None:
    clock = Clock()
    sampler = DriftSampler(1.0, size=3, clock=clock)
    sampler.add(MODEL, [classified(1)])
    assert sampler.samples(idle=True)
    sampler.add(MODEL, [classified(2)])
    assert sampler.samples(idle=True) == []

    clock.advance(1.0)

    assert sampler.samples(idle=True)


def test_tickets_of_the_previous_model_are_not_embedded_by_the_next() -> None:
    sampler, new_model = DriftSampler(1.0, size=3), EmbeddingNoopModel(manifest(version="v1.1.0"))
    sampler.add(MODEL, [classified(1)])
    sampler.add(new_model, [classified(2)])

    assert [embedding for _, embedding in sampler.samples(idle=True)] == [[2.0, 2.0]]


def test_a_failed_embedding_gives_no_samples_and_no_error() -> None:
    class Failing(EmbeddingNoopModel):
        def embed(self, batch: Sequence[Tokens]) -> list[list[float]]:
            raise RuntimeError("the device is gone")

    assert sampled(classified(), model=Failing(manifest())) == []
