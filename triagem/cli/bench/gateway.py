"""`triagem bench gateway`: tickets over HTTP at a fixed rate, on a stack of its own that is erased after.

An open loop: a request is due at its time whether the one before was answered or not, and its answer's time counts
from when it was due. A gateway that stalls is not excused from the requests that it kept waiting.
"""

import asyncio
import json
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from triagem.cli.bench.ground import BenchFailed
from triagem.cli.bench.machine import describe
from triagem.cli.commands.up import prepare
from triagem.cli.processes import WorkerProcess
from triagem.cli.stack import Endpoints, LocalStack
from triagem.cli.stack.ports import choose
from triagem.db import Database
from triagem.db.keys import Scope, create

CONNECTIONS = 32
_NUMBERS = count()


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for: so many requests a second, each with so many tickets; none: the route that does nothing."""

    name: str
    per_s: float
    tickets: int


LOADS = (
    Load("a route that does nothing", 500, 0),
    Load("tickets one by one", 500, 1),
    Load("tickets in batches of 100", 50, 100),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one load: requests and tickets a second that were answered, milliseconds from due to answered."""

    load: str
    asked_per_s: float
    requests_per_s: float
    tickets_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int


@dataclass(frozen=True, slots=True)
class Report:
    """What `--json` prints. `p99_vs_nothing`: of tickets one by one against the route that does nothing."""

    machine: dict[str, str]
    connections: int
    seconds: float
    rows: list[Measured]
    p99_vs_nothing: float


def run(texts: Sequence[str], *, seconds: float, rounds: int, told: Callable[[str], None]) -> Report:
    """Each load in turns, `rounds` times for so many seconds; of each the median round."""
    measured: dict[str, list[Measured]] = {load.name: [] for load in LOADS}
    with _gateway() as (port, key):
        for turn in range(rounds):
            for load in LOADS if turn % 2 == 0 else reversed(LOADS):
                told(load.name)
                requests = [_request(load, key, texts) for _ in range(round(load.per_s * seconds))]
                measured[load.name].append(asyncio.run(_loaded(load, port, requests)))
    rows = [sorted(of, key=lambda one: one.p99_ms)[len(of) // 2] for of in measured.values()]
    return Report(
        machine=describe(torch.device("cpu")),
        connections=CONNECTIONS,
        seconds=seconds,
        rows=rows,
        p99_vs_nothing=statistics.median(
            one.p99_ms / nothing.p99_ms
            for nothing, one in zip(measured[LOADS[0].name], measured[LOADS[1].name], strict=True)
        ),
    )


@contextmanager
def _gateway() -> Iterator[tuple[int, str]]:
    """A gateway's port and a key for it. No worker: what is measured is how tickets come in."""
    with TemporaryDirectory(prefix="triagem-bench-") as folder:
        stack = LocalStack(Path(folder) / "stack")
        endpoints = stack.start()
        try:
            prepare(endpoints)
            with Database(endpoints.database_url) as database:
                _, key = create(database, "bench", [Scope.ENQUEUE])
            port = choose()
            with started(endpoints, Path(folder) / "gateway.log", port):
                yield port, key
        finally:
            stack.erase()


@contextmanager
def started(endpoints: Endpoints, file: Path, port: int, **more: str) -> Iterator[None]:
    """A gateway process that listens there."""
    settings = {"TRIAGEM_GATEWAY_PORT": str(port), "TRIAGEM_GATEWAY_RATE_LIMIT": "100000/second", **more}
    with WorkerProcess(endpoints, file, "gateway", **settings) as process:
        end = time.monotonic() + 60
        while process.exit_status is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                yield
                return
        raise BenchFailed(f"the gateway did not start: {process.why_ended()}")


def _request(load: Load, key: str, texts: Sequence[str]) -> bytes:
    if not load.tickets:
        return b"GET /health/live HTTP/1.1\r\nHost: bench\r\n\r\n"
    numbers = [next(_NUMBERS) for _ in range(load.tickets)]
    rows = [{"source": "bench", "external_id": str(one), "text": texts[one % len(texts)]} for one in numbers]
    body = json.dumps(rows if load.tickets > 1 else rows[0], ensure_ascii=False).encode()
    head = (
        "POST /v1/tickets HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _loaded(load: Load, port: int, requests: Sequence[bytes]) -> Measured:
    """All requests over the connections, each taking the next one that is due."""
    waits: list[float] = []
    failed = 0
    turn = iter(enumerate(requests))
    began = time.perf_counter() + 0.1

    async def connection() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for place, request in turn:
            due = began + place / load.per_s
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            writer.write(request)
            if await _status(reader) >= 300:
                failed += 1
            waits.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    passed = time.perf_counter() - began
    cuts = statistics.quantiles(waits, n=100)
    answered = (len(waits) - failed) / passed
    return Measured(
        load.name, load.per_s, answered, answered * load.tickets, cuts[49] * 1000, cuts[98] * 1000, failed
    )


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of one answer; its body is read to the end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length:" in head:
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
    return int(head.split()[1])
