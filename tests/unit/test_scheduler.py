"""Which micro-batch the lane scheduler takes next (INV-6): live first, bulk by its share."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import micro_batch
from triagem.contracts.ticket import Lane
from triagem.worker.batch import MicroBatch
from triagem.worker.scheduler import MAX_HAND_OVER, LaneScheduler, hand_over_size

LIVE, BULK = Lane.LIVE, Lane.BULK
sizes = st.lists(st.integers(1, 32), max_size=40)
shares = st.floats(0, 1)


def lane_of(batch: MicroBatch) -> Lane:
    """The lane of a micro-batch's tickets."""
    return batch.items[0].entry.lane


def scheduler_with(share: float, *, live: list[int], bulk: list[int]) -> LaneScheduler:
    """A scheduler in which micro-batches of these sizes wait."""
    scheduler = LaneScheduler(share)
    for lane, sizes in ((LIVE, live), (BULK, bulk)):
        scheduler.add(lane, [micro_batch(size, lane) for size in sizes])
    return scheduler


def take_all(scheduler: LaneScheduler) -> list[MicroBatch]:
    """Take all queued micro-batches, in order."""
    return list(iter(scheduler.next, None))


def take_while_live_waits(scheduler: LaneScheduler) -> list[MicroBatch]:
    """Take micro-batches as long as a live micro-batch waits."""
    taken = []
    while scheduler.queued_tickets(LIVE) and (batch := scheduler.next()):
        taken.append(batch)
    return taken


def test_live_is_taken_before_bulk_that_came_first() -> None:
    scheduler = scheduler_with(0.1, live=[], bulk=[32])
    scheduler.add(LIVE, [micro_batch(1, LIVE)])

    assert [lane_of(batch) for batch in take_all(scheduler)] == [LIVE, BULK]


def test_bulk_is_taken_at_once_if_no_live_waits() -> None:
    assert len(take_all(scheduler_with(0.0, live=[], bulk=[32, 32, 32]))) == 3


def test_empty_lanes_have_no_next_batch() -> None:
    assert LaneScheduler(0.1).next() is None


def test_a_hand_over_takes_up_to_its_limit_live_first() -> None:
    scheduler = scheduler_with(0.0, live=[2], bulk=[32, 32, 32])

    assert [len(batch.items) for batch in scheduler.take(3)] == [2, 32, 32]
    assert [len(batch.items) for batch in scheduler.take(3)] == [32]
    assert scheduler.take(3) == []


@pytest.mark.parametrize(
    ("batch_s", "expected"), [(0.0, 1), (0.02, 1), (0.005, 1), (0.0025, 2), (1e-6, MAX_HAND_OVER)]
)
def test_a_hand_over_takes_the_model_at_most_5_ms_unless_one_micro_batch_does(batch_s: float, expected: int) -> None:
    assert hand_over_size(batch_s) == expected


def test_a_lane_keeps_its_order() -> None:
    scheduler = scheduler_with(0.5, live=[1, 2, 3], bulk=[4, 5, 6])

    taken = take_all(scheduler)

    assert [len(batch.items) for batch in taken if lane_of(batch) is LIVE] == [1, 2, 3]
    assert [len(batch.items) for batch in taken if lane_of(batch) is BULK] == [4, 5, 6]


def test_the_tickets_that_wait_are_counted_by_lane() -> None:
    scheduler = scheduler_with(0.1, live=[3, 4], bulk=[5])
    scheduler.next()

    assert (scheduler.queued_tickets(LIVE), scheduler.queued_tickets(BULK)) == (4, 5)


@given(shares, sizes, sizes)
def test_every_micro_batch_is_taken_once(share: float, live: list[int], bulk: list[int]) -> None:
    taken = take_all(scheduler_with(share, live=live, bulk=bulk))

    assert sorted(len(batch.items) for batch in taken) == sorted(live + bulk)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 1.0])
def test_bulk_gets_its_share_while_live_fills_the_worker(share: float) -> None:
    taken = take_while_live_waits(scheduler_with(share, live=[32] * 200, bulk=[32] * 200))

    bulk = sum(lane_of(batch) is BULK for batch in taken)
    assert bulk == pytest.approx(200 * share, rel=0.1)


@given(shares, sizes, sizes)
def test_bulk_gets_no_more_than_its_share_while_live_waits(share: float, live: list[int], bulk: list[int]) -> None:
    taken = take_while_live_waits(scheduler_with(share, live=live, bulk=bulk))

    tickets = {lane: sum(len(batch.items) for batch in taken if lane_of(batch) is lane) for lane in Lane}
    assert tickets[BULK] <= tickets[LIVE] * share + 1e-6


@given(shares, sizes, sizes)
def test_live_is_never_delayed_by_more_than_one_batch(share: float, live: list[int], bulk: list[int]) -> None:
    taken = take_while_live_waits(scheduler_with(share, live=live, bulk=bulk))

    runs = [(lane, len(list(run))) for lane, run in groupby(taken, key=lane_of)]
    assert all(length == 1 for lane, length in runs if lane is BULK)


@given(st.floats(0.01, 1), st.integers(1, 32))
def test_bulk_never_starves(share: float, size: int) -> None:
    scheduler = scheduler_with(share, live=[], bulk=[size])

    for _ in range(int(size / share) + 3):
        scheduler.add(LIVE, [micro_batch(1, LIVE)])
        scheduler.next()

    assert scheduler.queued_tickets(BULK) == 0


def test_bulk_accrues_no_share_while_none_waits() -> None:
    scheduler = scheduler_with(0.5, live=[32] * 10, bulk=[])
    take_while_live_waits(scheduler)
    scheduler.add(BULK, [micro_batch(32, BULK)])
    scheduler.add(LIVE, [micro_batch(1, LIVE)])

    first = scheduler.next()

    assert first is not None
    assert lane_of(first) is LIVE
