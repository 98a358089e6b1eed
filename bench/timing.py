"""Interleaved timing: contenders take turns, so that a slow minute affects all of them. Pure except the clock."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """Median and range of several runs: a rate, a ratio or a time."""

    median: float
    low: float
    high: float
    runs: int

    @property
    def spread(self) -> float:
        """Half the range between the slowest and the fastest run, as a share of the median."""
        return (self.high - self.low) / 2 / self.median


def rate_of(units: float, seconds: Sequence[float]) -> Measurement:
    """The rate in units per second of several runs, each with `units` of work in one of `seconds`."""
    rates = [units / max(duration, 1e-9) for duration in seconds]
    return Measurement(statistics.median(rates), min(rates), max(rates), len(rates))


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Callable[[str], None] = lambda _: None,
) -> dict[str, list[float]]:
    """Seconds of each contender in each round. Every second round runs in reverse order: otherwise a contender would
    always start with the caches and the clock rate that the same other contender left."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(rounds):
        order = list(contenders)
        for name in order if round_number % 2 == 0 else reversed(order):
            on_progress(name)
            began = clock()
            contenders[name]()
            seconds[name].append(clock() - began)
    return seconds


def ratio(seconds: Mapping[str, Sequence[float]], name: str, reference: str) -> Measurement:
    """The speed-up of `name` over `reference` in each round. A slowdown of a whole round cancels out."""
    pairs = [b / a for a, b in zip(seconds[name], seconds[reference], strict=True)]
    return Measurement(statistics.median(pairs), min(pairs), max(pairs), len(pairs))
