"""`triagem bench scale`: days of tickets on simulated GPUs, our signal beside a plain queue length.

Pure: no clock, no I/O; chance comes from a seed.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from triagem.cli.bench.cluster import Autoscaler
from triagem.inbox.scaling import Sample, ScalingSettings, decide

STEP_S = 15.0  # Kubernetes' period
DAY_S = 86_400.0
_PEAK = 0.7  # of what all GPUs together can do, in the busiest minute
_WINDOW_S = 0.25  # a worker holds so much of its rate
_WAVE = 0.5  # of an hour's work of all GPUs, handed in at once at two in the morning


@dataclass(frozen=True, slots=True)
class Ground:
    """What the cluster is like. Times in seconds, `rate` in tickets per busy second of a GPU."""

    gpus: int
    rate: float = 1000.0
    cold_s: tuple[float, float] = (240.0, 480.0)
    drain_s: float = 960.0
    days: int = 3
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a signal cost and what it gave: GPU-hours a day, waits of tickets, starts of GPUs a day."""

    gpus: int
    signal: str
    gpu_hours: float
    mean_wait_s: float
    p95_wait_s: float
    starts: float


Metric = Callable[[float, float, int], float]  # tickets waiting, in flight, and GPUs that are warm → the metric


@dataclass
class _Crew:
    """GPUs that are paid for, by when each is warm: the newest, which may not be, go first."""

    ground: Ground
    dice: random.Random
    warm_at: list[float] = field(default_factory=list)
    starts: int = 0

    def resize(self, now: float, wanted: int) -> None:
        while len(self.warm_at) < wanted:
            self.warm_at.append(now + self.dice.uniform(*self.ground.cold_s))
            self.starts += 1
        self.warm_at.sort()
        del self.warm_at[wanted:]

    def warm(self, now: float) -> int:
        return sum(at <= now for at in self.warm_at)


def signals(ground: Ground) -> dict[str, tuple[float, Metric]]:
    """Each contender: the metric's value for one replica, and the metric.

    The plain ones want so many tickets a GPU, waiting and in flight: one that was set when a GPU was as fast as it
    is, one when it was four times slower (another card, a larger model), one when it was four times faster.
    """
    asked = ScalingSettings(max=ground.gpus, drain_s=ground.drain_s, cold_start_s=ground.cold_s[1])

    def ours(waiting: float, in_flight: float, warm: int) -> float:
        sample = Sample(math.ceil(waiting), math.ceil(in_flight), 0, warm, warm, 0, ground.rate, paused=False)
        return decide(sample, asked).workers

    def length(waiting: float, in_flight: float, _: int) -> float:
        return math.ceil(waiting + in_flight)

    each = ground.rate * ground.drain_s
    return {
        "triagem": (1.0, ours),
        "queue length": (each, length),
        "queue length, set for a GPU 4 times slower": (each / 4, length),
        "queue length, set for a GPU 4 times faster": (each * 4, length),
    }


def arrivals(ground: Ground) -> Iterator[float]:
    """Tickets in each step: a day's curve, lowest at four in the morning, with noise, and a wave at two."""
    dice = random.Random(ground.seed)
    peak = _PEAK * ground.gpus * ground.rate * STEP_S
    for step in range(int(ground.days * DAY_S / STEP_S)):
        hour = step * STEP_S / 3600 % 24
        curve = 0.05 + 0.95 * (0.5 - 0.5 * math.cos((hour - 4) / 24 * 2 * math.pi)) ** 2
        wave = _WAVE * 3600 * ground.gpus * ground.rate if hour == 2 else 0.0
        yield peak * curve * dice.uniform(0.8, 1.2) + wave


def simulate(ground: Ground, name: str) -> Outcome:
    """One signal over all days. Tickets are served in their order; a GPU that goes is gone at once."""
    target, metric = signals(ground)[name]
    cluster = Autoscaler(most=ground.gpus, window_s=ground.drain_s, cooldown_s=ground.drain_s, target=target)
    crew = _Crew(ground, random.Random(ground.seed + 1))
    queue: deque[tuple[float, float]] = deque()
    waits: dict[float, float] = {}
    paid = waiting = now = 0.0
    for tickets in arrivals(ground):
        now += STEP_S
        queue.append((now, tickets))
        waiting += tickets
        room = could = crew.warm(now) * ground.rate * STEP_S
        while queue and room > 0:
            came, left = queue.popleft()
            served = min(left, room)
            room -= served
            waiting -= served
            waits[now - came] = waits.get(now - came, 0.0) + served
            if left > served:
                queue.appendleft((came, left - served))
        value = metric(waiting, _WINDOW_S / STEP_S * (could - room), crew.warm(now))
        crew.resize(now, cluster.replicas(now, len(crew.warm_at), value))
        paid += len(crew.warm_at) * STEP_S
    for came, left in queue:  # still waiting at the end: so long at least
        waits[now - came] = waits.get(now - came, 0.0) + left
    served = sum(waits.values())
    mean = sum(wait * number for wait, number in waits.items()) / served
    return Outcome(
        ground.gpus, name, paid / 3600 / ground.days, mean, _percentile(waits, 0.95), crew.starts / ground.days
    )


def run(gpus: Sequence[int], *, days: int = 3, seed: int = 42) -> list[Outcome]:
    """Every signal on each size of cluster."""
    grounds = [Ground(most, days=days, seed=seed) for most in gpus]
    return [simulate(ground, name) for ground in grounds for name in signals(ground)]


def _percentile(waits: dict[float, float], share: float) -> float:
    left = share * sum(waits.values())
    for wait in sorted(waits):
        left -= waits[wait]
        if left <= 0:
            return wait
    return max(waits)
