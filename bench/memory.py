"""Prints the resident memory of each process as tickets pass through them (no-op engine), on temporary servers.

python -m bench.memory --tickets 1000000
"""

import argparse
import json
import logging
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from bench.gateway import started_gateway
from bench.harness import BenchFailed, BenchStack, minilm_stack
from bench.stages import NOOP
from triagem.cli import logs
from triagem.cli.processes import WorkerProcess
from triagem.contracts.ticket import Lane
from triagem.db.auth import Scope, create_key
from triagem.inbox import Inbox, InboxSettings
from triagem.stack.state import choose_port

_REQUEST: Final = 500  # tickets
_WAITING: Final = 10_000
_STEPS: Final = 10


def run(tickets: int) -> None:
    """Submit tickets over HTTP, each with its own text; print a line ten times."""
    with minilm_stack() as (stack, _), ExitStack() as stop:
        settings = {"TRIAGEM_REGISTRY_URL": str(stack.registry)}
        processes = {"worker": stop.enter_context(stack.worker(NOOP)).pid}
        for name in ("ops", "beat"):
            process = WorkerProcess(stack.endpoints, stack.work / f"{name}.log", name, **settings)
            processes[name] = stop.enter_context(process).pid
        port, (_, secret) = choose_port(), create_key(stack.database, "bench", [Scope.ENQUEUE])
        gateway = started_gateway(stack.endpoints, stack.work / "gateway.log", port, **settings)
        processes["gateway"] = stop.enter_context(gateway)
        print(f"{'tickets':>10}" + "".join(f"{name:>12}" for name in processes) + "   MiB", flush=True)
        connection = HTTPConnection("127.0.0.1", port, timeout=120)
        for first in range(0, tickets, _REQUEST):
            _submit(connection, secret, range(first, first + _REQUEST))
            done = first + _REQUEST
            if done % (tickets // _STEPS) == 0:
                _wait(stack, 0)
                memory = "".join(f"{_resident_mib(pid):12.1f}" for pid in processes.values())
                print(f"{done:10,}{memory}", flush=True)
            else:
                _wait(stack, _WAITING)


def _submit(connection: HTTPConnection, secret: str, numbers: range) -> None:
    rows = [
        {"source": "crm", "external_id": str(number), "text": f"word {number} " * (1 + number % 3)}
        for number in numbers
    ]
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/tickets", json.dumps(rows), headers)
    response = connection.getresponse()
    body = response.read()
    if response.status >= 300:
        raise BenchFailed(f"HTTP status {response.status}: {body[:200]!r}")


def _wait(stack: BenchStack, waiting: int) -> None:
    inbox = Inbox(stack.redis, InboxSettings())
    end = time.monotonic() + 300
    while inbox.depth(Lane.LIVE).waiting + (0 if waiting else inbox.in_flight(Lane.LIVE)) > waiting:
        if time.monotonic() > end:
            raise BenchFailed("the worker did not classify the tickets in 300 s")
        time.sleep(0.05)


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=1_000_000, help="a multiple of 5,000")
    logs.configure(logging.ERROR)
    run(parser.parse_args().tickets)
