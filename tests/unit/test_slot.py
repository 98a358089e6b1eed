"""One place between two threads: one value at a time, in order, and an end that both see."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from triagem.worker.slot import Slot

PATIENCE_S = 5.0  # far more than any thread here needs; no test waits for it to pass


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    """Another thread."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool


def holding(value: str) -> Slot[str]:
    """A place with a value in it."""
    place = Slot[str]()
    place.put(value)
    return place


def test_get_returns_the_value_that_was_put() -> None:
    assert holding("a batch").get(0) == "a batch"


def test_get_removes_the_value() -> None:
    place = holding("a batch")
    place.get(0)

    assert place.get(0) is None


def test_an_empty_slot_is_reported_as_empty() -> None:
    assert Slot[str]().wait_until_empty(0)


def test_a_full_slot_is_not_reported_as_empty() -> None:
    assert not holding("a batch").wait_until_empty(0)


def test_put_into_a_full_slot_is_a_programming_error() -> None:
    with pytest.raises(AssertionError):
        holding("a batch").put("another")


def test_a_waiting_consumer_wakes_when_a_value_is_put(other: ThreadPoolExecutor) -> None:
    place = Slot[str]()
    taken = other.submit(place.get, PATIENCE_S)

    place.put("a batch")

    assert taken.result(PATIENCE_S / 2) == "a batch"


def test_a_waiting_producer_wakes_when_the_value_is_taken(other: ThreadPoolExecutor) -> None:
    place = holding("a batch")
    empty = other.submit(place.wait_until_empty, PATIENCE_S)

    place.get(0)

    assert empty.result(PATIENCE_S / 2)


def test_a_waiting_consumer_wakes_when_the_slot_is_closed(other: ThreadPoolExecutor) -> None:
    place = Slot[str]()
    taken = other.submit(place.get, PATIENCE_S)

    place.close()

    assert taken.result(PATIENCE_S / 2) is None


def test_a_value_put_before_the_close_is_still_returned() -> None:
    place = holding("the last")
    place.close()

    assert place.get(0) == "the last"


def test_a_closed_and_empty_slot_is_exhausted() -> None:
    place = holding("the last")
    open_and_full = place.exhausted
    place.close()
    closed_and_full = place.exhausted
    place.get(0)

    assert (open_and_full, closed_and_full, place.exhausted) == (False, False, True)


def test_an_empty_slot_is_not_exhausted_until_it_is_closed() -> None:
    assert not Slot[str]().exhausted


def test_everything_arrives_once_and_in_order(other: ThreadPoolExecutor) -> None:
    place = Slot[int]()

    def give_all() -> None:
        for number in range(20):
            assert place.wait_until_empty(PATIENCE_S)
            place.put(number)
        place.close()

    giver = other.submit(give_all)
    taken = [place.get(PATIENCE_S) for _ in range(21)]

    giver.result(PATIENCE_S)
    assert taken == [*range(20), None]


def test_a_new_slot_is_idle() -> None:
    assert Slot[str]().wait_until_idle(0)


def test_a_slot_is_not_idle_while_a_value_waits() -> None:
    assert not holding("a batch").wait_until_idle(0)


def test_a_slot_is_not_idle_while_the_consumer_works() -> None:
    place = holding("a batch")
    place.get(0)

    assert not place.wait_until_idle(0)


def test_a_slot_is_idle_once_the_consumer_waits_again(other: ThreadPoolExecutor) -> None:
    place = holding("a batch")
    place.get(0)
    came_back = other.submit(place.wait_until_idle, PATIENCE_S)
    place.get(0)

    assert came_back.result(PATIENCE_S)
    assert place.wait_until_idle(0)
