"""What fails is found, its neighbours' work is done, and nothing is given up that is not to blame (INV-10)."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.contracts.errors import DatabaseAway, ModelBroken, NotFinite, OutOfMemory, RowRefused, StatementRefused
from triagem.worker.bisect import reason, sift


def nothing() -> None:
    """A check that passes."""


def refusing(bad: set[int], error: Exception | None = None) -> "Work":
    return Work(bad, error or ValueError("my card number is 4711"))


class Work:
    """Ten times each item, unless a bad one is among them; notes what it was asked."""

    def __init__(self, bad: set[int], error: Exception) -> None:
        self.bad, self.error = bad, error
        self.asked: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.asked.append(list(items))
        if self.bad & set(items):
            raise self.error
        return [10 * item for item in items]


@given(st.sets(st.integers(0, 99)), st.data())
def test_exactly_the_bad_ones_fail_and_all_others_are_answered_in_order(items: set[int], data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.sampled_from(sorted(items)))) if items else set()

    done, failed = sift(sorted(items), refusing(bad), nothing)

    assert done == [(item, 10 * item) for item in sorted(items - bad)]
    assert [item for item, _ in failed] == sorted(bad)


def test_a_good_batch_is_worked_on_once_and_nothing_is_checked() -> None:
    work = refusing(set())

    def never() -> None:
        raise AssertionError

    sift([1, 2, 3], work, never)

    assert work.asked == [[1, 2, 3]]


def test_one_bad_item_of_32_costs_two_tries_a_halving_and_one_more_for_itself() -> None:
    work = refusing({13})

    sift(range(32), work, nothing)

    assert len(work.asked) == 1 + 2 * 5 + 1


def test_where_the_check_fails_nothing_is_given_up() -> None:
    def broken() -> None:
        raise ModelBroken("the device is gone")

    with pytest.raises(ModelBroken):
        sift([1, 2], refusing({1, 2}), broken)


def test_what_succeeds_after_the_check_is_not_given_up() -> None:
    """A device may stumble once."""
    work = refusing({1})

    done, failed = sift([1, 2], work, work.bad.clear)

    assert (sorted(done), failed) == ([(1, 10), (2, 20)], [])


@pytest.mark.parametrize("error", [DatabaseAway("away"), StatementRefused("42601"), ModelBroken("gone")], ids=repr)
def test_an_outage_or_a_broken_installation_is_no_items_fault(error: Exception) -> None:
    work = refusing({2}, error)

    with pytest.raises(type(error)):
        sift([1, 2, 3], work, nothing)

    assert work.asked == [[1, 2, 3]]


@pytest.mark.parametrize("error", [RowRefused("22021"), NotFinite("nan"), RecursionError()], ids=repr)
def test_a_refused_value_is_that_items_fault(error: Exception) -> None:
    done, failed = sift([1, 2, 3], refusing({2}, error), nothing)

    assert ([item for item, _ in done], failed) == ([1, 3], [(2, error)])


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemory("cuda")], ids=repr)
def test_what_has_no_room_together_has_room_in_halves(error: Exception) -> None:
    def work(items: Sequence[int]) -> list[int]:
        if len(items) > 16:
            raise error
        return list(items)

    assert sift(range(64), work, nothing) == ([(item, item) for item in range(64)], [])


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemory("cuda")], ids=repr)
def test_no_memory_for_one_alone_condemns_nobody(error: Exception) -> None:
    with pytest.raises(OutOfMemory):
        sift([1, 2], refusing({1}, error), nothing)


def test_an_answer_too_few_is_a_failure() -> None:
    """Never one item's answer for another item."""
    done, failed = sift([1, 2], lambda items: [7], nothing)

    assert (done, failed) == ([(1, 7), (2, 7)], [])


def test_a_reason_tells_our_own_words_and_no_foreign_ones() -> None:
    assert reason(RowRefused("SQLSTATE 22021")) == "SQLSTATE 22021"
    assert reason(ValueError("my card number is 4711")) == "ValueError"
