"""Which tickets are looked at once more, and when: few, of the live lane, never at a ticket's cost."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.support.builders import Clock, entry, manifest, ticket
from tests.support.engines import EmbeddingNoopModel, NoopModel
from tests.support.windows import result
from triagem.contracts.model import Model, Tokens
from triagem.contracts.ticket import PREDICT_SOURCE, Lane
from triagem.db.samples import NewSample
from triagem.db.window import ClassifiedTicket
from triagem.worker.batch import PreparedTicket
from triagem.worker.drift_sampler import DriftSampler, is_sampled

MODEL = EmbeddingNoopModel(manifest())


def classified(number: int = 1, *, lane: Lane = Lane.LIVE, **changes: Any) -> tuple[PreparedTicket, ClassifiedTicket]:
    """A ticket of so many words, with its result."""
    item = PreparedTicket(
        entry(number, lane), ticket(), digest=b"", tokens=Tokens(ids=range(number), truncated=False)
    )
    return replace(item, **changes), result(lane=lane, external_id=str(number))


def sampled(
    *pairs: tuple[PreparedTicket, ClassifiedTicket], model: Model = MODEL, share: float = 1.0
) -> list[NewSample]:
    """What is taken of these when nothing waits."""
    sampler = DriftSampler(share, size=32)
    sampler.add(model, pairs)
    return sampler.samples(idle=True)


def test_a_sample_holds_what_the_model_sees_beside_the_ticket_s_result() -> None:
    pair = classified(3)

    (sample,) = sampled(pair)

    assert (sample.row, sample.embedding) == (pair[1], [3.0, 3.0])


def test_of_many_tickets_that_share_is_chosen() -> None:
    rows = [result("same words", external_id=str(number)) for number in range(10_000)]

    assert 800 < sum(is_sampled(row, 0.1) for row in rows) < 1200


def test_whatever_is_delivered_again_is_chosen_again() -> None:
    rows = [result(str(number)) for number in range(100)]

    assert [is_sampled(row, 0.5) for row in rows] == [is_sampled(replace(row, epoch=2), 0.5) for row in rows]


def test_a_share_of_nothing_chooses_nothing_and_of_all_everything() -> None:
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
    ids=["bulk", "not looked at by the model now", "suspected of ending a process", "of POST /predict"],
)
def test_some_tickets_are_never_chosen(pair: tuple[PreparedTicket, ClassifiedTicket]) -> None:
    assert sampled(pair) == []


def test_an_engine_that_shows_no_embeddings_gives_no_samples() -> None:
    assert sampled(classified(), model=NoopModel(manifest())) == []


def test_while_tickets_wait_the_model_looks_once_a_micro_batch_is_full() -> None:
    sampler = DriftSampler(1.0, size=3)
    sampler.add(MODEL, [classified(1), classified(2)])
    assert sampler.samples(idle=False) == []

    sampler.add(MODEL, [classified(3), classified(4)])

    assert len(sampler.samples(idle=False)) == 3
    assert sampler.samples(idle=True) == []


def test_between_two_looks_passes_a_second() -> None:
    clock = Clock()
    sampler = DriftSampler(1.0, size=3, clock=clock)
    sampler.add(MODEL, [classified(1)])
    assert sampler.samples(idle=True)
    sampler.add(MODEL, [classified(2)])
    assert sampler.samples(idle=True) == []

    clock.advance(1.0)

    assert sampler.samples(idle=True)


def test_what_one_model_classified_is_not_looked_at_by_the_next() -> None:
    sampler, following = DriftSampler(1.0, size=3), EmbeddingNoopModel(manifest(version="v1.1.0"))
    sampler.add(MODEL, [classified(1)])
    sampler.add(following, [classified(2)])

    assert [sample.embedding for sample in sampler.samples(idle=True)] == [[2.0, 2.0]]


def test_a_look_that_fails_gives_no_samples_and_no_error() -> None:
    class Failing(EmbeddingNoopModel):
        def embed(self, batch: Sequence[Tokens]) -> list[list[float]]:
            raise RuntimeError("the device is gone")

    assert sampled(classified(), model=Failing(manifest())) == []


@pytest.mark.parametrize("name", ["language", "lang", "locale"])
def test_the_language_is_the_one_that_the_crm_names(name: str) -> None:
    item, row = classified()

    (sample,) = sampled((item, replace(row, ticket=ticket(metadata={name: "pt-BR"}))))

    assert sample.lang == "pt"
