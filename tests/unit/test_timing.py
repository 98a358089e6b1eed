"""Fair timing: interleaving, rates and ratios, with a manual clock."""

import pytest

from bench.timing import interleave, rate_of, ratio


class Clock:
    """A clock that advances only during `work`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def work(self, name: str, seconds: float) -> None:
        self.order.append(name)
        self.now += seconds


def test_contenders_take_turns_and_every_second_round_runs_backwards() -> None:
    clock = Clock()
    contenders = {name: (lambda name=name: clock.work(name, 1.0)) for name in ("a", "b", "c")}
    interleave(contenders, rounds=3, clock=lambda: clock.now)
    assert clock.order == ["a", "b", "c", "c", "b", "a", "a", "b", "c"]


def test_each_contender_is_charged_its_own_time() -> None:
    clock = Clock()
    seconds = interleave(
        {"quick": lambda: clock.work("quick", 0.5), "slow": lambda: clock.work("slow", 2.0)},
        rounds=2,
        clock=lambda: clock.now,
    )
    assert seconds == {"quick": [0.5, 0.5], "slow": [2.0, 2.0]}


def test_a_rate_is_the_median_with_its_spread() -> None:
    rates = rate_of(100, [1.0, 2.0, 4.0])
    assert (rates.median, rates.low, rates.high, rates.runs) == (50.0, 25.0, 100.0, 3)
    assert rates.spread == pytest.approx(0.75)


def test_a_ratio_is_taken_round_by_round_so_that_a_slow_round_cancels() -> None:
    assert ratio({"ours": [1.0, 10.0], "theirs": [5.0, 50.0]}, "ours", "theirs").median == 5.0
