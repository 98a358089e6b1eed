"""`triagem bench reclassify`: a run over stored tickets beside their first way through the pipe, and live ones."""

import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from sqlalchemy import text as sql

from triagem.cli.bench.ground import Bench, BenchFailed
from triagem.cli.bench.machine import describe
from triagem.cli.processes import WorkerProcess
from triagem.contracts.model import MANIFEST_FILE
from triagem.contracts.wire import ClaimCheck, encode_check
from triagem.db import runs
from triagem.registry import Registry

_RAMP = 0.25  # of the tickets: a run begins with little on the lane, and by its rate puts more
_PATIENCE_S = 300.0
_CHECKS = 10_000


@dataclass(frozen=True, slots=True)
class Report:
    """What `--json` prints. Tickets a second of one worker; milliseconds from put to a committed row. What a row
    takes of each table with its indexes, and a claim check of Redis' memory."""

    machine: dict[str, str]
    tickets: int
    pipe_per_s: float
    run_per_s: float
    share_of_pipe: float
    idle_p95_ms: float
    during_run_p95_ms: float
    times_idle: float
    bytes_each: dict[str, float]


def run(on: Bench, texts: Sequence[str], *, tickets: int, rounds: int, told: Callable[[str], None]) -> Report:
    """Measure with an engine of no cost, and live tickets with one that takes 20 ms a micro-batch, idle and during a
    run. `told` hears what is going on."""
    pipe, again = list[float](), list[float]()
    idle, during = list[float](), list[float]()
    registry = Registry(on.registry)
    other = _twin(registry)
    for turn in range(rounds):
        on.empty()
        on.enqueue(texts, tickets)
        with _ops(on):
            with on.worker("triagem.cli.bench.instant:instant"):
                told(f"the pipe, round {turn + 1}")
                pipe.append(on.drained_per_s(tickets))
                told(f"a run, round {turn + 1}")
                former = registry.current().version
                registry.promote(other)
                other = former
                again.append(_run_per_s(on, tickets))
            with on.worker("triagem.cli.bench.instant:steady"):
                told(f"live tickets, round {turn + 1}")
                on.put_to_row_ms(texts[0])  # waits for the worker's start
                idle += [on.put_to_row_ms(text) for text in texts[:100]]
                forced = _started(on, force=True)
                _settled(on, forced, 1)
                during += [on.put_to_row_ms(text) for text in texts[:100]]
                if not _found(on, forced).active:
                    raise BenchFailed("the run ended before the live tickets were measured: more --tickets")
                runs.cancel(on.database, forced)
    sizes = _bytes_each(on)
    at_rest, at_work = (statistics.quantiles(times, n=20)[-1] for times in (idle, during))
    return Report(
        machine=describe(torch.device("cpu")),
        tickets=tickets,
        pipe_per_s=statistics.median(pipe),
        run_per_s=statistics.median(again),
        share_of_pipe=statistics.median(b / a for a, b in zip(pipe, again, strict=True)),
        idle_p95_ms=at_rest,
        during_run_p95_ms=at_work,
        times_idle=at_work / at_rest,
        bytes_each=sizes,
    )


@contextmanager
def _ops(on: Bench) -> Iterator[None]:
    settings = {"TRIAGEM_REGISTRY_URL": str(on.registry), "TRIAGEM_RECLASSIFY_EVERY": "1s"}
    with ExitStack() as stack:
        for name in ("ops", "beat"):
            stack.enter_context(WorkerProcess(on.endpoints, on.work / f"{name}.log", name, **settings))
        yield


def _twin(registry: Registry) -> str:
    """The version registered once more, to be promoted in turns with it."""
    current = registry.current().version
    with registry.staging() as staged:
        shutil.copytree(registry.folder(current), staged, dirs_exist_ok=True)
        (staged / MANIFEST_FILE).unlink()
        return registry.register(staged, registry.manifest(current)).version


def _started(on: Bench, *, force: bool = False) -> int:
    current = Registry(on.registry).current()
    return runs.start(on.database, runs.Plan(current.version, current.epoch, force=force)).id


def _run_per_s(on: Bench, tickets: int) -> float:
    run_id = _started(on)
    first = _settled(on, run_id, round(tickets * _RAMP))
    began = time.perf_counter()
    last = _settled(on, run_id, tickets)
    rate = (last - first) / (time.perf_counter() - began)
    while _found(on, run_id).active:
        time.sleep(0.1)
    return rate


def _bytes_each(on: Bench) -> dict[str, float]:
    found = {}
    with on.database.autocommit() as connection:
        for table in ("tickets", "predictions", "run_changes"):
            query = sql(f"SELECT pg_total_relation_size('{table}')::float8 / count(*) FROM {table}")  # noqa: S608
            found[table] = float(connection.execute(query).scalar_one())
    with on.redis.pipeline(transaction=False) as pipe:
        for number in range(_CHECKS):
            pipe.xadd("checks", {"t": encode_check(ClaimCheck(1, 10_000_000 + number, bytes(32)))})
        pipe.execute()
    found["claim check"] = (on.redis.memory_usage("checks", samples=0) or 0) / _CHECKS
    return found


def _settled(on: Bench, run_id: int, tickets: int) -> int:
    end = time.monotonic() + _PATIENCE_S
    while (settled := _found(on, run_id).settled) < tickets:
        if time.monotonic() > end:
            raise BenchFailed(f"a run came to {settled} of {tickets} tickets in {_PATIENCE_S:.0f} s")
        time.sleep(0.02)
    return settled


def _found(on: Bench, run_id: int) -> runs.Run:
    found = runs.find(on.database, run_id)
    assert found
    return found
