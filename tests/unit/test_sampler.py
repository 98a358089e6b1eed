"""Which tickets are looked at once more, and when: few, of the live lane, never at a ticket's cost."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.support.builders import Clock, entry, manifest, ticket
from tests.support.engines import InstantModel, SeeingModel
from tests.support.windows import result
from triagem.contracts.model import Model, Tokens
from triagem.contracts.ticket import PREDICT, Lane
from triagem.db.samples import Sample
from triagem.db.window import Classified
from triagem.worker.batch import Item
from triagem.worker.sampler import Sampler, chosen

MODEL = SeeingModel(manifest())


def classified(number: int = 1, *, lane: Lane = Lane.LIVE, **changes: Any) -> tuple[Item, Classified]:
    """A ticket of so many words, with its result."""
    item = Item(entry(number, lane), ticket(), digest=b"", tokens=Tokens(ids=range(number), truncated=False))
    return replace(item, **changes), result(lane=lane, external_id=str(number))


def sampled(*pairs: tuple[Item, Classified], model: Model = MODEL, share: float = 1.0) -> list[Sample]:
    """What is taken of these when nothing waits."""
    sampler = Sampler(share, size=32)
    sampler.note(model, pairs)
    return sampler.look(idle=True)


def test_a_sample_holds_what_the_model_sees_beside_the_ticket_s_result() -> None:
    pair = classified(3)

    (sample,) = sampled(pair)

    assert (sample.row, sample.embedding) == (pair[1], [3.0, 3.0])


def test_of_many_tickets_that_share_is_chosen() -> None:
    rows = [result("same words", external_id=str(number)) for number in range(10_000)]

    assert 800 < sum(chosen(row, 0.1) for row in rows) < 1200


def test_whatever_is_delivered_again_is_chosen_again() -> None:
    rows = [result(str(number)) for number in range(100)]

    assert [chosen(row, 0.5) for row in rows] == [chosen(replace(row, epoch=2), 0.5) for row in rows]


def test_a_share_of_nothing_chooses_nothing_and_of_all_everything() -> None:
    rows = [result(str(number)) for number in range(100)]

    assert not any(chosen(row, 0.0) for row in rows)
    assert all(chosen(row, 1.0) for row in rows)
    assert sampled(classified(), share=0.0) == []


@pytest.mark.parametrize(
    "pair",
    [
        classified(lane=Lane.BULK),
        classified(known=(result().prediction, result().classified_at)),
        classified(entry=replace(entry(), deaths=1)),
        (classified()[0], result(source=PREDICT)),
    ],
    ids=["bulk", "not looked at by the model now", "suspected of ending a process", "of POST /predict"],
)
def test_some_tickets_are_never_chosen(pair: tuple[Item, Classified]) -> None:
    assert sampled(pair) == []


def test_an_engine_that_shows_no_embeddings_gives_no_samples() -> None:
    assert sampled(classified(), model=InstantModel(manifest())) == []


def test_while_tickets_wait_the_model_looks_once_a_micro_batch_is_full() -> None:
    sampler = Sampler(1.0, size=3)
    sampler.note(MODEL, [classified(1), classified(2)])
    assert sampler.look(idle=False) == []

    sampler.note(MODEL, [classified(3), classified(4)])

    assert len(sampler.look(idle=False)) == 3
    assert sampler.look(idle=True) == []


def test_between_two_looks_passes_a_second() -> None:
    clock = Clock()
    sampler = Sampler(1.0, size=3, clock=clock)
    sampler.note(MODEL, [classified(1)])
    assert sampler.look(idle=True)
    sampler.note(MODEL, [classified(2)])
    assert sampler.look(idle=True) == []

    clock.advance(1.0)

    assert sampler.look(idle=True)


def test_what_one_model_classified_is_not_looked_at_by_the_next() -> None:
    sampler, following = Sampler(1.0, size=3), SeeingModel(manifest(version="v1.1.0"))
    sampler.note(MODEL, [classified(1)])
    sampler.note(following, [classified(2)])

    assert [sample.embedding for sample in sampler.look(idle=True)] == [[2.0, 2.0]]


def test_a_look_that_fails_gives_no_samples_and_no_error() -> None:
    class Failing(SeeingModel):
        def embed(self, batch: Sequence[Tokens]) -> list[list[float]]:
            raise RuntimeError("the device is gone")

    assert sampled(classified(), model=Failing(manifest())) == []


@pytest.mark.parametrize("name", ["language", "lang", "locale"])
def test_the_language_is_the_one_that_the_crm_names(name: str) -> None:
    item, row = classified()

    (sample,) = sampled((item, replace(row, ticket=ticket(metadata={name: "pt-BR"}))))

    assert sample.lang == "pt"
