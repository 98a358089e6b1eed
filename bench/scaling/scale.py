"""`python -m bench scale`: simulates days of tickets on GPUs with Triagem's scaling signal and plain queue length.

Pure: no clock, no I/O; random numbers come from a seed.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.scaling.cluster import Autoscaler
from triagem.inbox.scaling import BacklogSample, ScalingSettings, decide

STEP_S = 15.0  # Kubernetes' period
DAY_S = 86_400.0
_PEAK = 0.7  # share of the capacity of all GPUs, in the busiest minute
_WINDOW_S = 0.25  # in-flight tickets of a worker, in seconds of its rate
_WAVE = 0.5  # share of an hour's capacity of all GPUs, submitted at once at two in the morning


@dataclass(frozen=True, slots=True)
class ClusterSetup:
    """The simulated cluster. Times in seconds, `rate` in tickets per busy second of a GPU."""

    gpus: int
    rate: float = 1000.0
    cold_s: tuple[float, float] = (240.0, 480.0)
    drain_s: float = 960.0
    days: int = 3
    seed: int = 42


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """Cost and benefit of a signal: GPU-hours per day, waits of tickets, GPU starts per day."""

    gpus: int
    signal: str
    gpu_hours: float
    mean_wait_s: float
    p95_wait_s: float
    starts: float


Metric = Callable[[float, float, int], float]  # (tickets waiting, tickets in flight, warm GPUs) → the metric


@dataclass
class _GpuPool:
    """Running GPUs, by the time from which each is warm. The newest, perhaps still starting, are removed first."""

    setup: ClusterSetup
    rng: random.Random
    warm_at: list[float] = field(default_factory=list)
    starts: int = 0

    def resize(self, now: float, desired: int) -> None:
        while len(self.warm_at) < desired:
            self.warm_at.append(now + self.rng.uniform(*self.setup.cold_s))
            self.starts += 1
        self.warm_at.sort()
        del self.warm_at[desired:]

    def warm(self, now: float) -> int:
        return sum(at <= now for at in self.warm_at)


def scaling_signals(setup: ClusterSetup) -> dict[str, tuple[float, Metric]]:
    """The contenders by name: the metric's value per replica, and the metric.

    A queue-length signal assigns a fixed number of waiting and in-flight tickets to each GPU. The number suits the
    GPU's real speed, a four times slower GPU (another card, a larger model), or a four times faster GPU.
    """
    settings = ScalingSettings(max=setup.gpus, drain_s=setup.drain_s, cold_start_s=setup.cold_s[1])

    def ours(waiting: float, in_flight: float, warm: int) -> float:
        sample = BacklogSample(math.ceil(waiting), math.ceil(in_flight), 0, warm, warm, 0, setup.rate, paused=False)
        return decide(sample, settings).workers

    def length(waiting: float, in_flight: float, _: int) -> float:
        return math.ceil(waiting + in_flight)

    tickets_per_gpu = setup.rate * setup.drain_s
    return {
        "triagem": (1.0, ours),
        "queue length": (tickets_per_gpu, length),
        "queue length, set for a GPU 4 times slower": (tickets_per_gpu / 4, length),
        "queue length, set for a GPU 4 times faster": (tickets_per_gpu * 4, length),
    }


def arrivals(setup: ClusterSetup) -> Iterator[float]:
    """Tickets per step: a daily curve, lowest at four in the morning, with noise, and a wave at two."""
    rng = random.Random(setup.seed)
    peak = _PEAK * setup.gpus * setup.rate * STEP_S
    for step in range(int(setup.days * DAY_S / STEP_S)):
        hour = step * STEP_S / 3600 % 24
        curve = 0.05 + 0.95 * (0.5 - 0.5 * math.cos((hour - 4) / 24 * 2 * math.pi)) ** 2
        wave = _WAVE * 3600 * setup.gpus * setup.rate if hour == 2 else 0.0
        yield peak * curve * rng.uniform(0.8, 1.2) + wave


def simulate(setup: ClusterSetup, name: str) -> SimulationResult:
    """Simulate a signal over all days. Tickets are served in order; a removed GPU stops at once."""
    target, metric = scaling_signals(setup)[name]
    cluster = Autoscaler(max_replicas=setup.gpus, window_s=setup.drain_s, cooldown_s=setup.drain_s, target=target)
    pool = _GpuPool(setup, random.Random(setup.seed + 1))
    queue: deque[tuple[float, float]] = deque()
    waits: dict[float, float] = {}
    paid = waiting = now = 0.0
    for tickets in arrivals(setup):
        now += STEP_S
        queue.append((now, tickets))
        waiting += tickets
        unused = capacity = pool.warm(now) * setup.rate * STEP_S
        while queue and unused > 0:
            arrived, left = queue.popleft()
            served = min(left, unused)
            unused -= served
            waiting -= served
            waits[now - arrived] = waits.get(now - arrived, 0.0) + served
            if left > served:
                queue.appendleft((arrived, left - served))
        value = metric(waiting, _WINDOW_S / STEP_S * (capacity - unused), pool.warm(now))
        pool.resize(now, cluster.replicas(now, len(pool.warm_at), value))
        paid += len(pool.warm_at) * STEP_S
    for arrived, left in queue:  # tickets that still wait at the end count with their wait so far
        waits[now - arrived] = waits.get(now - arrived, 0.0) + left
    served = sum(waits.values())
    mean = sum(wait * number for wait, number in waits.items()) / served
    return SimulationResult(
        setup.gpus, name, paid / 3600 / setup.days, mean, _percentile(waits, 0.95), pool.starts / setup.days
    )


def run(gpus: Sequence[int], *, days: int = 3, seed: int = 42) -> list[SimulationResult]:
    """Simulate every signal on each cluster size."""
    setups = [ClusterSetup(count, days=days, seed=seed) for count in gpus]
    return [simulate(setup, name) for setup in setups for name in scaling_signals(setup)]


def _percentile(waits: dict[float, float], share: float) -> float:
    left = share * sum(waits.values())
    for wait in sorted(waits):
        left -= waits[wait]
        if left <= 0:
            return wait
    return max(waits)
