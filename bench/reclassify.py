"""`python -m bench reclassify`: a run over stored tickets against their first pass, and live tickets during it."""

import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from sqlalchemy import text as sql

from bench.harness import BenchFailed, BenchStack
from bench.machine import describe_machine
from triagem.cli.processes import WorkerProcess
from triagem.contracts.model import MANIFEST_FILE
from triagem.contracts.wire import StoredTicketRef, encode_ref
from triagem.db import runs
from triagem.registry import Registry

_RAMP = 0.25  # first share of tickets, excluded: a run starts with few entries and adds more as it measures its rate
_TIMEOUT_S = 300.0
_REFS = 10_000


@dataclass(frozen=True, slots=True)
class ReclassifyBenchmark:
    """Output of `--json`. Tickets per second of one worker; milliseconds from put to a committed row. `bytes_each`:
    the size of a row of each table with its indexes, and the Redis memory of a stored-ticket reference."""

    machine: dict[str, str]
    tickets: int
    first_pass_per_s: float
    run_per_s: float
    share_of_first_pass: float
    idle_p95_ms: float
    during_run_p95_ms: float
    times_idle: float
    bytes_each: dict[str, float]


def run(
    stack: BenchStack, texts: Sequence[str], *, tickets: int, rounds: int, on_progress: Callable[[str], None]
) -> ReclassifyBenchmark:
    """Measure with a no-op engine, and live tickets with an engine of 20 ms per micro-batch, idle and during a run.
    `on_progress` gets each step."""
    first_pass, rerun = list[float](), list[float]()
    idle, during = list[float](), list[float]()
    registry = Registry(stack.registry)
    other = register_copy(registry)
    for round_number in range(rounds):
        stack.clear()
        stack.enqueue(texts, tickets)
        with ops_processes(stack):
            with stack.worker("bench.noop_engines:noop"):
                on_progress(f"first pass, round {round_number + 1}")
                first_pass.append(stack.drain_rate(tickets))
                on_progress(f"a run, round {round_number + 1}")
                previous = registry.current().version
                registry.promote(other)
                other = previous
                rerun.append(_run_per_s(stack, tickets))
            with stack.worker("bench.noop_engines:fixed_latency"):
                on_progress(f"live tickets, round {round_number + 1}")
                stack.put_to_row_ms(texts[0])  # waits until the worker has started
                idle += [stack.put_to_row_ms(text) for text in texts[:100]]
                forced = start_run(stack, force=True)
                wait_until_processed(stack, forced, 1)
                during += [stack.put_to_row_ms(text) for text in texts[:100]]
                if not read_run(stack, forced).active:
                    raise BenchFailed("the run ended before the live tickets were measured: raise --tickets")
                runs.cancel(stack.database, forced)
    sizes = _bytes_each(stack)
    idle_p95, during_p95 = (statistics.quantiles(times, n=20)[-1] for times in (idle, during))
    return ReclassifyBenchmark(
        machine=describe_machine(torch.device("cpu")),
        tickets=tickets,
        first_pass_per_s=statistics.median(first_pass),
        run_per_s=statistics.median(rerun),
        share_of_first_pass=statistics.median(b / a for a, b in zip(first_pass, rerun, strict=True)),
        idle_p95_ms=idle_p95,
        during_run_p95_ms=during_p95,
        times_idle=during_p95 / idle_p95,
        bytes_each=sizes,
    )


@contextmanager
def ops_processes(stack: BenchStack) -> Iterator[None]:
    """Run ops and beat."""
    settings = {"TRIAGEM_REGISTRY_URL": str(stack.registry), "TRIAGEM_RECLASSIFY_EVERY": "1s"}
    with ExitStack() as processes:
        for name in ("ops", "beat"):
            processes.enter_context(WorkerProcess(stack.endpoints, stack.work / f"{name}.log", name, **settings))
        yield


def register_copy(registry: Registry) -> str:
    """Register a copy of the current version, to alternate promotions between the two."""
    current = registry.current().version
    with registry.staging() as staged:
        shutil.copytree(registry.folder(current), staged, dirs_exist_ok=True)
        (staged / MANIFEST_FILE).unlink()
        return registry.register(staged, registry.manifest(current)).version


def start_run(stack: BenchStack, *, force: bool = False, **filters: str) -> int:
    """Start a run of the current version; returns its number."""
    current = Registry(stack.registry).current()
    return runs.start(stack.database, runs.RunPlan(current.version, current.epoch, force=force, filters=filters)).id


def _run_per_s(stack: BenchStack, tickets: int) -> float:
    run_id = start_run(stack)
    first = wait_until_processed(stack, run_id, round(tickets * _RAMP))
    began = time.perf_counter()
    last = wait_until_processed(stack, run_id, tickets)
    rate = (last - first) / (time.perf_counter() - began)
    while read_run(stack, run_id).active:
        time.sleep(0.1)
    return rate


def _bytes_each(stack: BenchStack) -> dict[str, float]:
    sizes = {}
    with stack.database.autocommit() as connection:
        for table in ("tickets", "predictions", "run_changes"):
            query = sql(f"SELECT pg_total_relation_size('{table}')::float8 / count(*) FROM {table}")  # noqa: S608
            sizes[table] = float(connection.execute(query).scalar_one())
    with stack.redis.pipeline(transaction=False) as commands:
        for number in range(_REFS):
            commands.xadd("refs", {"t": encode_ref(StoredTicketRef(1, 10_000_000 + number, bytes(32)))})
        commands.execute()
    sizes["stored-ticket reference"] = (stack.redis.memory_usage("refs", samples=0) or 0) / _REFS
    return sizes


def wait_until_processed(stack: BenchStack, run_id: int, tickets: int) -> int:
    """Return the number of processed tickets once it is at least `tickets`, or raise BenchFailed."""
    end = time.monotonic() + _TIMEOUT_S
    while (processed := read_run(stack, run_id).processed) < tickets:
        if time.monotonic() > end:
            raise BenchFailed(f"the run reached {processed} of {tickets} tickets in {_TIMEOUT_S:.0f} s")
        time.sleep(0.02)
    return processed


def read_run(stack: BenchStack, run_id: int) -> runs.ReclassifyRun:
    """The run's stored state."""
    run = runs.find(stack.database, run_id)
    assert run
    return run
