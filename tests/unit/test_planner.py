"""Token lengths to micro-batches: each text once, within the limits, shortest first."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from triagem.engine.planner import plan

lengths = st.lists(st.integers(1, 20), max_size=60)
sizes = st.integers(1, 12)
tokens = st.integers(1, 60)
budgets = st.none() | tokens


@given(lengths, sizes, budgets)
def test_each_text_is_in_exactly_one_micro_batch(texts: list[int], size: int, budget: int | None) -> None:
    batches = plan(texts, batch_size=size, batch_tokens=budget)

    assert sorted(position for batch in batches for position in batch) == list(range(len(texts)))
    assert all(batches)


@given(lengths, sizes, budgets)
def test_no_micro_batch_has_more_texts_than_allowed(texts: list[int], size: int, budget: int | None) -> None:
    assert all(len(batch) <= size for batch in plan(texts, batch_size=size, batch_tokens=budget))


@given(lengths, sizes, tokens)
def test_only_a_single_text_may_exceed_the_token_budget(texts: list[int], size: int, budget: int) -> None:
    for batch in plan(texts, batch_size=size, batch_tokens=budget):
        assert len(batch) == 1 or sum(texts[position] for position in batch) <= budget


@given(lengths, sizes, budgets)
def test_the_shortest_texts_come_first(texts: list[int], size: int, budget: int | None) -> None:
    order = [texts[position] for batch in plan(texts, batch_size=size, batch_tokens=budget) for position in batch]

    assert order == sorted(texts)


@given(lengths, sizes, budgets)
def test_a_micro_batch_is_closed_only_when_the_next_text_does_not_fit(
    texts: list[int], size: int, budget: int | None
) -> None:
    batches = plan(texts, batch_size=size, batch_tokens=budget)

    for batch, following in pairwise(batches):
        together = sum(texts[position] for position in [*batch, following[0]])
        assert len(batch) == size or (budget is not None and together > budget)


def test_texts_of_one_length_keep_their_order() -> None:
    assert plan([7, 7, 7, 7, 7], batch_size=2) == [[0, 1], [2, 3], [4]]


def test_a_long_text_never_shares_its_micro_batch_beyond_the_tokens() -> None:
    assert plan([512, 3, 4, 600], batch_size=32, batch_tokens=520) == [[1, 2, 0], [3]]


def test_a_micro_batch_may_have_exactly_as_many_tokens_as_allowed() -> None:
    assert plan([3, 4, 5], batch_size=32, batch_tokens=7) == [[0, 1], [2]]


def test_no_texts_give_no_micro_batch() -> None:
    assert plan([], batch_size=32) == []
