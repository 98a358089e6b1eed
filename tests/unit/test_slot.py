"""The slot between two threads passes one value at a time, in order. Both threads see its close."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from triagem.worker.scheduler import Slot

TIMEOUT_S = 5.0  # far more than any thread here needs; no test waits for it to pass


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """Another thread."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool


def filled_slot(value: str) -> Slot[str]:
    """A slot with a value in it."""
    slot = Slot[str]()
    slot.put(value)
    return slot


def test_get_returns_the_value_that_was_put() -> None:
    assert filled_slot("a batch").get(0) == "a batch"


def test_get_removes_the_value() -> None:
    slot = filled_slot("a batch")
    slot.get(0)

    assert slot.get(0) is None


def test_an_empty_slot_is_reported_as_empty() -> None:
    assert Slot[str]().wait_until_empty(0)


def test_a_full_slot_is_not_reported_as_empty() -> None:
    assert not filled_slot("a batch").wait_until_empty(0)


def test_put_into_a_full_slot_is_a_programming_error() -> None:
    with pytest.raises(AssertionError):
        filled_slot("a batch").put("another")


def test_a_waiting_consumer_wakes_when_a_value_is_put(executor: ThreadPoolExecutor) -> None:
    slot = Slot[str]()
    value = executor.submit(slot.get, TIMEOUT_S)

    slot.put("a batch")

    assert value.result(TIMEOUT_S / 2) == "a batch"


def test_a_waiting_producer_wakes_when_the_value_is_taken(executor: ThreadPoolExecutor) -> None:
    slot = filled_slot("a batch")
    empty = executor.submit(slot.wait_until_empty, TIMEOUT_S)

    slot.get(0)

    assert empty.result(TIMEOUT_S / 2)


def test_a_waiting_consumer_wakes_when_the_slot_is_closed(executor: ThreadPoolExecutor) -> None:
    slot = Slot[str]()
    value = executor.submit(slot.get, TIMEOUT_S)

    slot.close()

    assert value.result(TIMEOUT_S / 2) is None


def test_a_value_put_before_the_close_is_still_returned() -> None:
    slot = filled_slot("the last")
    slot.close()

    assert slot.get(0) == "the last"


def test_a_closed_and_empty_slot_is_exhausted() -> None:
    slot = filled_slot("the last")
    open_and_full = slot.exhausted
    slot.close()
    closed_and_full = slot.exhausted
    slot.get(0)

    assert (open_and_full, closed_and_full, slot.exhausted) == (False, False, True)


def test_an_empty_slot_is_not_exhausted_until_it_is_closed() -> None:
    assert not Slot[str]().exhausted


def test_everything_arrives_once_and_in_order(executor: ThreadPoolExecutor) -> None:
    slot = Slot[int]()

    def put_all() -> None:
        for number in range(20):
            assert slot.wait_until_empty(TIMEOUT_S)
            slot.put(number)
        slot.close()

    producer = executor.submit(put_all)
    values = [slot.get(TIMEOUT_S) for _ in range(21)]

    producer.result(TIMEOUT_S)
    assert values == [*range(20), None]


def test_a_producer_does_not_wait_for_a_consumer_that_gave_up(executor: ThreadPoolExecutor) -> None:
    slot = filled_slot("a batch")
    empty = executor.submit(slot.wait_until_empty, TIMEOUT_S)
    slot.abandon()

    assert empty.result(TIMEOUT_S)
    slot.put("dropped")
    assert slot.wait_until_idle(0)
    assert slot.abandoned


def test_a_new_slot_is_idle() -> None:
    assert Slot[str]().wait_until_idle(0)


def test_a_slot_is_not_idle_while_a_value_waits() -> None:
    assert not filled_slot("a batch").wait_until_idle(0)


def test_a_slot_is_not_idle_while_the_consumer_works() -> None:
    slot = filled_slot("a batch")
    slot.get(0)

    assert not slot.wait_until_idle(0)


def test_a_slot_is_idle_once_the_consumer_waits_again(executor: ThreadPoolExecutor) -> None:
    slot = filled_slot("a batch")
    slot.get(0)
    idle = executor.submit(slot.wait_until_idle, TIMEOUT_S)
    slot.get(0)

    assert idle.result(TIMEOUT_S)
    assert slot.wait_until_idle(0)
