"""The cluster's part in a test: polls the gateway, asks Kubernetes' algorithm, starts and SIGTERMs real workers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.testclient import TestClient

from triagem.cli.bench.cluster import Autoscaler
from triagem.cli.processes import WorkerProcess


@dataclass
class Cluster:
    """One Deployment of workers. `history` are the counts of each period."""

    gateway: TestClient
    start: Callable[[], WorkerProcess]
    autoscaler: Autoscaler
    period_s: float = 0.5
    running: list[WorkerProcess] = field(default_factory=list)
    ending: list[WorkerProcess] = field(default_factory=list)
    history: list[int] = field(default_factory=list)

    def period(self) -> None:
        """A poll, and what follows from it."""
        answer = self.gateway.get("/autoscale")
        metric = float(answer.json()["desired"]) if answer.status_code == 200 else None
        wanted = self.autoscaler.replicas(time.monotonic(), len(self.running), metric)
        while len(self.running) < wanted:
            self.running.append(self.start())
        while len(self.running) > wanted:
            self.ending.append(self.running.pop())
            self.ending[-1].ask_to_stop()
        assert all(worker.exit_status is None for worker in self.running), "a worker ended by itself"
        self.history.append(wanted)
        time.sleep(self.period_s)  # the cluster's clock

    def until(self, done: Callable[[], bool], *, seconds: float) -> None:
        """Go on until `done`."""
        began = time.monotonic()
        while not done():
            assert time.monotonic() - began < seconds, f"not within {seconds} s: {self.history}"
            self.period()

    def gone(self) -> bool:
        """Whether nobody is left, nor on the way out."""
        return not self.running and all(worker.exit_status is not None for worker in self.ending)
