"""Model of Kubernetes autoscaling, as documented: KEDA from zero to one replica, the HPA from one replica on.

Used by the test that simulates a cluster, and by `python -m bench scale`.
"""

from collections import deque
from dataclasses import dataclass, field
from math import ceil


@dataclass
class Autoscaler:
    """The autoscaler of one Deployment. Call `replicas` once per period (Kubernetes: 15 s) with a clock in seconds.

    `window_s` is the scale-down stabilization window: the highest proposal within the window counts. `cooldown_s` is
    KEDA's: the last replica is removed after the metric has been zero this long. `target`: metric value per replica.
    """

    max_replicas: int
    window_s: float = 300.0
    cooldown_s: float = 300.0
    tolerance: float = 0.1
    target: float = 1.0
    _proposals: deque[tuple[float, int]] = field(default_factory=deque)
    _active_at: float = float("-inf")

    def replicas(self, now: float, current: int, metric: float | None) -> int:
        """The desired number of replicas. If `metric` is None (not available), it stays unchanged."""
        if metric is None:
            return current
        if metric > 0:
            self._active_at = now
        if current == 0:
            return 1 if metric > 0 else 0
        if now - self._active_at >= self.cooldown_s:
            self._proposals.clear()
            return 0
        desired = self._proposed(current, metric)
        self._proposals.append((now, desired))
        while self._proposals[0][0] < now - self.window_s:
            self._proposals.popleft()
        if desired > current:
            return min(desired, current + max(4, current))  # the HPA's default policy: four more, or twice as many
        return min(current, max(replicas for _, replicas in self._proposals))

    def _proposed(self, current: int, metric: float) -> int:
        ratio = metric / self.target / current  # AverageValue: the metric is divided by the replicas
        if abs(ratio - 1) <= self.tolerance:
            return current
        return min(self.max_replicas, max(1, ceil(current * ratio - 1e-9)))
