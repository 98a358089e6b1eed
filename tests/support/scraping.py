"""Runs a system with `/metrics` on each process, and parses the metrics as Prometheus does."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse

from tests.support.leaks import fetch_metrics
from tests.support.manifests import ROOT
from tests.support.waiting import until
from triagem.cli.processes import WorkerProcess
from triagem.stack import Endpoints
from triagem.stack.state import choose_port

PROCESSES = ("worker", "ops", "gateway")


@dataclass
class MetricsPage:
    """Parsed metrics of one process. `names` includes metrics without samples."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]
    names: set[str]

    def value(self, name: str, **labels: str) -> float | None:
        """Value of a sample, or None. Pass the label `class` as `class_`."""
        return self.samples.get((name, frozenset((key.rstrip("_"), value) for key, value in labels.items())))

    @property
    def labels(self) -> set[tuple[str, str]]:
        """All pairs of label and value."""
        return {pair for _, labels in self.samples for pair in labels}


def parse_metrics(text: str) -> MetricsPage:
    """Parse a metrics page as Prometheus does."""
    families = list(parse(text))
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    return MetricsPage(samples, {family.name for family in families} | {name for name, _ in samples})


@dataclass
class System:
    """A worker, an ops worker and a gateway, with their metrics ports."""

    processes: dict[str, WorkerProcess]
    ports: dict[str, int]
    gateway_port: int

    def page(self, process: str) -> MetricsPage:
        """Current metrics of a process."""
        return parse_metrics(fetch_metrics(self.ports[process]))

    def log(self, process: str) -> list[dict[str, Any]]:
        """Parsed log lines of a process."""
        text = self.processes[process].log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def post(self, key: str, rows: list[dict[str, Any]], request_id: str, lane: str = "live") -> dict[str, Any]:
        """Enqueue tickets over HTTP."""
        connection = HTTPConnection("127.0.0.1", self.gateway_port, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {key}", "X-Request-Id": request_id}
            connection.request("POST", f"/v1/tickets?lane={lane}", json.dumps(rows), headers)
            receipt: dict[str, Any] = json.loads(connection.getresponse().read())
            return receipt
        finally:
            connection.close()


@contextmanager
def system(endpoints: Endpoints, models: Path, folder: Path) -> Iterator[System]:
    """Start all three processes, wait until they are ready, and stop them at the end."""
    ports = {name: choose_port() for name in PROCESSES}
    gateway_port = choose_port()
    processes: dict[str, WorkerProcess] = {}
    try:
        for name in PROCESSES:
            processes[name] = WorkerProcess(
                endpoints,
                folder / f"{name}.log",
                name,
                TRIAGEM_REGISTRY_URL=str(models),
                TRIAGEM_ENGINE="tests.support.engines:noop",
                TRIAGEM_METRICS_PORT=str(ports[name]),
                TRIAGEM_GATEWAY_PORT=str(gateway_port),
                TRIAGEM_CLAIM_EVERY_S="0.1",
                TRIAGEM_LEASE_S="1",
                PYTHONPATH=str(ROOT),
            )
        running = System(processes, ports, gateway_port)
        for name, ready in (
            ("worker", "model_loaded"),
            ("ops", "ops_ready"),
            ("gateway", "gateway_started"),
        ):
            until(lambda name=name, ready=ready: _is_ready(processes[name], ready), seconds=90)  # type: ignore[misc]
        yield running
    finally:
        for process in processes.values():
            process.stop(20)


def _is_ready(process: WorkerProcess, ready: str) -> bool:
    assert process.exit_status is None, process.exit_reason()
    return ready in process.log.read_text(encoding="utf-8")
