"""`python -m bench gateway`: tickets over HTTP at a fixed rate, on a temporary stack.

Open-loop load: each request is due at a fixed time, whether the previous one was answered or not. Its latency counts
from that time. So the latency includes the delay of requests that waited for a stalled gateway.

git worktree add /tmp/before COMMIT
python -m bench gateway --before /tmp/before
"""

import asyncio
import json
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from bench.harness import BenchFailed
from bench.machine import describe_machine
from triagem.cli.commands.up import prepare_database
from triagem.cli.processes import WorkerProcess
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.auth import Scope, create_key
from triagem.inbox import Inbox, connect
from triagem.inbox.stream import stream_key
from triagem.stack import Endpoints, LocalStack
from triagem.stack.state import choose_port

CONNECTIONS = 64
_KEYS = 8
_SEQUENCE = count()


@dataclass(frozen=True, slots=True)
class Load:
    """A load: requests per second and tickets per request. With 0 tickets, requests go to the no-op route."""

    name: str
    per_s: float
    tickets: int


LOADS = (
    Load("no-op route", 100, 0),
    Load("single tickets", 500, 1),
    Load("single tickets", 3000, 1),
    Load("tickets in batches of 100", 50, 100),
    Load("tickets in batches of 100", 200, 100),
)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of a load: answered requests and tickets per second, milliseconds from due time to answer, and CPU
    microseconds of the gateway per request. `tree`: `before` or `now`.
    """

    load: str
    tree: str
    offered_per_s: float
    requests_per_s: float
    tickets_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    failed: int


@dataclass(frozen=True, slots=True)
class GatewayBenchmark:
    """Output of `--json`. `p99_vs_noop`: p99 of single tickets divided by the no-op route's p99.

    `cpu_vs_before`: CPU time of a request now divided by that before, by load; empty without another source tree.
    """

    machine: dict[str, str]
    connections: int
    keys: int
    seconds: float
    rows: list[LoadResult]
    p99_vs_noop: float
    cpu_vs_before: dict[str, float]


def run(
    texts: Sequence[str],
    *,
    seconds: float,
    rounds: int,
    on_progress: Callable[[str], None],
    before: Path | None = None,
) -> GatewayBenchmark:
    """Run the loads in turn, `rounds` times for `seconds` each; returns each load's round with the median p99.

    With `before`, another source tree, both gateways run, and each load is sent to one after the other.
    """
    trees = (
        {"now": Path(__file__).parents[1]} if before is None else {"before": before, "now": Path(__file__).parents[1]}
    )
    results: dict[tuple[Load, str], list[LoadResult]] = {(load, tree): [] for load in LOADS for tree in trees}
    with _gateways(trees) as (gateways, keys, inbox):
        for round_number in range(rounds):
            for load, tree in results if round_number % 2 == 0 else reversed(results):
                on_progress(f"{load.name}, {load.per_s:,.0f} requests/s, {tree}")
                numbers = range(round(load.per_s * seconds))
                requests = [_request(load, keys[number % len(keys)], texts) for number in numbers]
                results[load, tree].append(asyncio.run(_run_load(load, tree, *gateways[tree], requests)))
                inbox.redis.delete(stream_key(Lane.LIVE))  # no worker empties the lane
    rows = [sorted(runs, key=lambda result: result.p99_ms)[len(runs) // 2] for runs in results.values()]
    noop, single = (results[load, "now"] for load in LOADS[:2])
    return GatewayBenchmark(
        machine=describe_machine(torch.device("cpu")),
        connections=CONNECTIONS,
        keys=_KEYS,
        seconds=seconds,
        rows=rows,
        p99_vs_noop=statistics.median(
            ticket.p99_ms / health.p99_ms for ticket, health in zip(single, noop, strict=True)
        ),
        cpu_vs_before={
            f"{load.name}, {load.per_s:,.0f} requests/s": statistics.median(
                now.cpu_us / then.cpu_us
                for now, then in zip(results[load, "now"], results[load, "before"], strict=True)
            )
            for load in LOADS
            if before is not None
        },
    )


@contextmanager
def _gateways(trees: Mapping[str, Path]) -> Iterator[tuple[dict[str, tuple[int, int]], list[str], Inbox]]:
    """Start a gateway of each tree, without a worker; yields their ports and process ids, keys and the inbox."""
    with TemporaryDirectory(prefix="triagem-bench-") as folder, ExitStack() as running:
        stack = LocalStack(Path(folder) / "stack")
        running.callback(stack.erase)
        endpoints = stack.start()
        prepare_database(endpoints)
        with Database(endpoints.database_url) as database:
            keys = [create_key(database, f"bench-{number}", [Scope.ENQUEUE])[1] for number in range(_KEYS)]
        gateways = {}
        for name, tree in trees.items():
            port = choose_port()
            log = Path(folder) / f"{name}.log"
            pid = running.enter_context(started_gateway(endpoints, log, port, PYTHONPATH=str(tree)))
            gateways[name] = port, pid
        yield gateways, keys, Inbox(connect(endpoints.redis_url))


@contextmanager
def started_gateway(endpoints: Endpoints, file: Path, port: int, **more: str) -> Iterator[int]:
    """Start a gateway process and wait until it listens on the port; yields its process id."""
    with WorkerProcess(endpoints, file, "gateway", TRIAGEM_GATEWAY_PORT=str(port), **more) as process:
        end = time.monotonic() + 60
        while process.exit_status is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                yield process.pid
                return
        raise BenchFailed(f"the gateway did not start: {process.exit_reason()}")


def _request(load: Load, key: str, texts: Sequence[str]) -> bytes:
    if not load.tickets:
        return b"GET /health/live HTTP/1.1\r\nHost: bench\r\n\r\n"
    numbers = [next(_SEQUENCE) for _ in range(load.tickets)]
    rows = [{"source": "bench", "external_id": str(number), "text": texts[number % len(texts)]} for number in numbers]
    body = json.dumps(rows if load.tickets > 1 else rows[0], ensure_ascii=False).encode()
    head = (
        "POST /v1/tickets HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _run_load(load: Load, tree: str, port: int, pid: int, requests: Sequence[bytes]) -> LoadResult:
    """Send all requests; each connection takes the next one that is due."""
    waits: list[float] = []
    failed = 0
    queue = iter(enumerate(requests))
    cpu_s = _cpu_s(pid)
    began = time.perf_counter() + 0.1

    async def connection() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for index, request in queue:
            due = began + index / load.per_s
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            writer.write(request)
            if await _status(reader) >= 300:
                failed += 1
            waits.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    elapsed = time.perf_counter() - began
    cuts = statistics.quantiles(waits, n=100)
    answered = (len(waits) - failed) / elapsed
    return LoadResult(
        load=load.name,
        tree=tree,
        offered_per_s=load.per_s,
        requests_per_s=answered,
        tickets_per_s=answered * load.tickets,
        p50_ms=cuts[49] * 1000,
        p99_ms=cuts[98] * 1000,
        cpu_us=(_cpu_s(pid) - cpu_s) / len(requests) * 1e6,
        failed=failed,
    )


def _cpu_s(pid: int) -> float:
    """CPU time that a process has used. On a busy machine it varies less than a latency."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of a response, after reading its body to the end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length:" in head:
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
    return int(head.split()[1])
