"""Simulated cluster: polls the scaling signal, applies Kubernetes' algorithm, starts and SIGTERMs real workers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.testclient import TestClient

from bench.scaling.cluster import Autoscaler
from triagem.cli.processes import WorkerProcess


@dataclass
class Cluster:
    """One Deployment of workers. `history` holds the replica count of each period."""

    gateway: TestClient
    start: Callable[[], WorkerProcess]
    autoscaler: Autoscaler
    period_s: float = 0.5
    running: list[WorkerProcess] = field(default_factory=list)
    ending: list[WorkerProcess] = field(default_factory=list)
    history: list[int] = field(default_factory=list)

    def period(self) -> None:
        """Poll once, and start or terminate workers accordingly."""
        response = self.gateway.get("/autoscale")
        metric = float(response.json()["desired"]) if response.status_code == 200 else None
        replicas = self.autoscaler.replicas(time.monotonic(), len(self.running), metric)
        while len(self.running) < replicas:
            self.running.append(self.start())
        while len(self.running) > replicas:
            self.ending.append(self.running.pop())
            self.ending[-1].terminate()
        assert all(worker.exit_status is None for worker in self.running), "a worker exited unexpectedly"
        self.history.append(replicas)
        time.sleep(self.period_s)  # the polling interval

    def until(self, done: Callable[[], bool], *, seconds: float) -> None:
        """Run periods until `done()` is true."""
        started = time.monotonic()
        while not done():
            assert time.monotonic() - started < seconds, f"not within {seconds} s: {self.history}"
            self.period()

    def is_empty(self) -> bool:
        """Whether no worker is running or terminating."""
        return not self.running and all(worker.exit_status is not None for worker in self.ending)
