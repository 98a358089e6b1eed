"""What Kubernetes makes of the signal: KEDA between none and one, its autoscaler above, as both publish it.

For the test that plays the cluster's part, and for the simulation.
"""

from collections import deque
from dataclasses import dataclass, field
from math import ceil


@dataclass
class Autoscaler:
    """One Deployment's. Call `replicas` once a period (Kubernetes: 15 s) with a clock in seconds.

    `window_s` is the stabilisation window for fewer: the highest proposal within it counts. `cooldown_s` is KEDA's:
    so long must nothing be wanted until the last ones go. `target` is the metric's value for one replica.
    """

    most: int
    window_s: float = 300.0
    cooldown_s: float = 300.0
    tolerance: float = 0.1
    target: float = 1.0
    _proposals: deque[tuple[float, int]] = field(default_factory=deque)
    _active_at: float = float("-inf")

    def replicas(self, now: float, current: int, metric: float | None) -> int:
        """How many there should be from now on. `metric` is None where it could not be had: all stays as it is."""
        if metric is None:
            return current
        if metric > 0:
            self._active_at = now
        if current == 0:
            return 1 if metric > 0 else 0
        if now - self._active_at >= self.cooldown_s:
            self._proposals.clear()
            return 0
        wanted = self._proposed(current, metric)
        self._proposals.append((now, wanted))
        while self._proposals[0][0] < now - self.window_s:
            self._proposals.popleft()
        if wanted > current:
            return min(wanted, current + max(4, current))  # its default policy: four more, or twice as many
        return min(current, max(one for _, one in self._proposals))

    def _proposed(self, current: int, metric: float) -> int:
        ratio = metric / self.target / current  # the metric is shared over the replicas: AverageValue
        if abs(ratio - 1) <= self.tolerance:
            return current
        return min(self.most, max(1, ceil(current * ratio - 1e-9)))
