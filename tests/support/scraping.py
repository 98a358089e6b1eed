"""A running system with `/metrics` on each of its processes, and what Prometheus would read there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse

from tests.support.leaks import metrics_of
from tests.support.manifests import ROOT
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.cli.stack import Endpoints
from triagem.cli.stack.ports import choose

PROCESSES = ("worker", "ops", "gateway")


@dataclass
class Page:
    """What one process tells. `names` also holds those that have no sample yet."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]
    names: set[str]

    def value(self, name: str, **labels: str) -> float | None:
        """A sample; None where it is absent. For the label `class` say `class_`."""
        return self.samples.get((name, frozenset((key.rstrip("_"), one) for key, one in labels.items())))

    @property
    def labels(self) -> set[tuple[str, str]]:
        """Every label with every value."""
        return {pair for _, labels in self.samples for pair in labels}


def read(text: str) -> Page:
    """A page as Prometheus reads it."""
    families = list(parse(text))
    samples = {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}
    return Page(samples, {family.name for family in families} | {name for name, _ in samples})


@dataclass
class System:
    """A worker, an ops worker and a gateway, with their ports."""

    processes: dict[str, WorkerProcess]
    ports: dict[str, int]
    address: int

    def page(self, process: str) -> Page:
        """What Prometheus reads of a process now."""
        return read(metrics_of(self.ports[process]))

    def log(self, process: str) -> list[dict[str, Any]]:
        """Its lines."""
        text = self.processes[process].log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def post(self, key: str, rows: list[dict[str, Any]], request_id: str, lane: str = "live") -> dict[str, Any]:
        """Hand tickets in over HTTP."""
        connection = HTTPConnection("127.0.0.1", self.address, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {key}", "X-Request-Id": request_id}
            connection.request("POST", f"/v1/tickets?lane={lane}", json.dumps(rows), headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()


@contextmanager
def system(endpoints: Endpoints, models: Path, folder: Path) -> Iterator[System]:
    """All three, started; stopped at the end."""
    ports = {name: choose() for name in PROCESSES}
    address = choose()
    processes: dict[str, WorkerProcess] = {}
    try:
        for name in PROCESSES:
            processes[name] = WorkerProcess(
                endpoints,
                folder / f"{name}.log",
                name,
                TRIAGEM_REGISTRY_URL=str(models),
                TRIAGEM_ENGINE="tests.support.engines:instant",
                TRIAGEM_METRICS_PORT=str(ports[name]),
                TRIAGEM_GATEWAY_PORT=str(address),
                TRIAGEM_CLAIM_EVERY_S="0.1",
                TRIAGEM_LEASE_S="1",
                PYTHONPATH=str(ROOT),
            )
        made = System(processes, ports, address)
        for name, ready in (
            ("worker", "model current"),
            ("ops", "waiting for tasks"),
            ("gateway", "gateway listens"),
        ):
            until(lambda name=name, ready=ready: _says(processes[name], ready), seconds=90)  # type: ignore[misc]
        yield made
    finally:
        for process in processes.values():
            process.stop(20)


def _says(process: WorkerProcess, ready: str) -> bool:
    assert process.exit_status is None, process.why_ended()
    return ready in process.log.read_text(encoding="utf-8")
