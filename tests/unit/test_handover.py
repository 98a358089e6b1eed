"""One place between two threads: one value at a time, in order, and an end that both see."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from triagem.worker.handover import Handover

PATIENCE_S = 5.0  # far more than any thread here needs; no test waits for it to pass


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    """Another thread."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool


def holding(value: str) -> Handover[str]:
    """A place with a value in it."""
    place = Handover[str]()
    place.give(value)
    return place


def test_what_is_given_can_be_taken() -> None:
    assert holding("a batch").take(0) == "a batch"


def test_what_is_taken_is_gone() -> None:
    place = holding("a batch")
    place.take(0)

    assert place.take(0) is None


def test_there_is_room_in_an_empty_place() -> None:
    assert Handover[str]().wait_for_room(0)


def test_there_is_no_room_beside_a_value() -> None:
    assert not holding("a batch").wait_for_room(0)


def test_giving_without_room_is_a_programmers_error() -> None:
    with pytest.raises(AssertionError):
        holding("a batch").give("another")


def test_a_taker_wakes_when_a_value_comes(other: ThreadPoolExecutor) -> None:
    place = Handover[str]()
    taken = other.submit(place.take, PATIENCE_S)

    place.give("a batch")

    assert taken.result(PATIENCE_S / 2) == "a batch"


def test_a_giver_wakes_when_the_value_is_taken(other: ThreadPoolExecutor) -> None:
    place = holding("a batch")
    room = other.submit(place.wait_for_room, PATIENCE_S)

    place.take(0)

    assert room.result(PATIENCE_S / 2)


def test_a_taker_wakes_when_the_place_is_closed(other: ThreadPoolExecutor) -> None:
    place = Handover[str]()
    taken = other.submit(place.take, PATIENCE_S)

    place.close()

    assert taken.result(PATIENCE_S / 2) is None


def test_a_value_given_before_the_close_is_still_taken() -> None:
    place = holding("the last")
    place.close()

    assert place.take(0) == "the last"


def test_the_end_is_a_closed_and_empty_place() -> None:
    place = holding("the last")
    open_and_full = place.ended
    place.close()
    closed_and_full = place.ended
    place.take(0)

    assert (open_and_full, closed_and_full, place.ended) == (False, False, True)


def test_an_empty_place_has_not_ended_until_it_is_closed() -> None:
    assert not Handover[str]().ended


def test_everything_arrives_once_and_in_order(other: ThreadPoolExecutor) -> None:
    place = Handover[int]()

    def give_all() -> None:
        for number in range(20):
            assert place.wait_for_room(PATIENCE_S)
            place.give(number)
        place.close()

    giver = other.submit(give_all)
    taken = [place.take(PATIENCE_S) for _ in range(21)]

    giver.result(PATIENCE_S)
    assert taken == [*range(20), None]


def test_a_new_place_is_idle() -> None:
    assert Handover[str]().wait_until_idle(0)


def test_a_place_is_not_idle_while_a_value_waits() -> None:
    assert not holding("a batch").wait_until_idle(0)


def test_a_place_is_not_idle_while_the_taker_is_at_work() -> None:
    place = holding("a batch")
    place.take(0)

    assert not place.wait_until_idle(0)


def test_a_place_is_idle_once_the_taker_has_come_back(other: ThreadPoolExecutor) -> None:
    place = holding("a batch")
    place.take(0)
    came_back = other.submit(place.wait_until_idle, PATIENCE_S)
    place.take(0)

    assert came_back.result(PATIENCE_S)
    assert place.wait_until_idle(0)
