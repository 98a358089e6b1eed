"""Fair timing: contenders take turns, so that a slow minute of the machine hits all of them. Pure but the clock."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A rate of several runs: work units a second."""

    median: float
    low: float
    high: float
    runs: int

    @property
    def spread(self) -> float:
        """Half the distance between the slowest and the fastest run, as a share of the median."""
        return (self.high - self.low) / 2 / self.median


def figure(units: float, seconds: Sequence[float]) -> Figure:
    """Seconds of several runs of `units` of work to their rate."""
    rates = [units / max(one, 1e-9) for one in seconds]
    return Figure(statistics.median(rates), min(rates), max(rates), len(rates))


def take_turns(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, list[float]]:
    """Seconds of each contender in each round. Every second round runs backwards: nobody is always the one
    who finds the caches and the clock rate as its neighbour left them."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        order = list(contenders)
        for name in order if turn % 2 == 0 else reversed(order):
            told(name)
            began = clock()
            contenders[name]()
            seconds[name].append(clock() - began)
    return seconds


def ratio(seconds: Mapping[str, Sequence[float]], ours: str, theirs: str) -> Figure:
    """How many times faster `ours` is, round by round: what slows both of a round cancels."""
    pairs = [b / a for a, b in zip(seconds[ours], seconds[theirs], strict=True)]
    return Figure(statistics.median(pairs), min(pairs), max(pairs), len(pairs))
