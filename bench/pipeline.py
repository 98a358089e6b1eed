"""`python -m bench pipe`: the cost of the pipeline around the engine."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.harness import BenchStack
from bench.machine import describe_machine
from bench.model import BenchModel
from bench.stages import drain
from bench.timing import Measurement
from triagem.engine.classify import LoadedModel, classify, load

BATCH_S = 0.02  # latency of `bench.noop_engines:fixed_latency`
_SHARE_S = 20.0  # in a shorter run, the worker's first and last windows would dominate
_CHUNK = 256
_MAX_WORKERS = 8  # each holds a copy of the model
_LARGE = 90_000  # no worker drains the lane: stay below the bulk lane's high-water mark


@dataclass(frozen=True, slots=True)
class PipelineBenchmark:
    """Output of `--json`. Tickets per second of one worker process; milliseconds from put to a committed row."""

    machine: dict[str, str]
    tickets: int
    enqueued_per_s: float
    enqueued_large_per_s: float
    noop_engine_per_s: Measurement
    noop_cpu_us: dict[str, float]  # per ticket, by thread, of Redis' main thread, and by stage
    celery_batches_per_s: Measurement | None
    ratio_vs_celery_batches: float | None
    idle_ms: Measurement
    live_behind_bulk_ms: Measurement
    live_wait_batches: float  # wait in addition to the idle latency and the ticket's own micro-batch
    engine_alone_per_s: Measurement
    with_engine_per_s: Measurement
    share_of_engine: float
    one_thread_workers: int  # as many as cores; 0 on a GPU
    one_thread_workers_per_s: Measurement | None
    one_thread_share_of_engine: float | None


def run(
    stack: BenchStack,
    model: BenchModel,
    texts: Sequence[str],
    *,
    tickets: int,
    rounds: int,
    on_progress: Callable[[str], None],
) -> PipelineBenchmark:
    """Run the benchmark; `on_progress` gets each step. `model` is the current version of the stack's registry."""
    rates: list[float] = []
    celery_rates: list[float] = []
    enqueued: list[float] = []
    for round_number in range(rounds):
        on_progress(f"drain, round {round_number + 1}")
        stack.clear()
        enqueued.append(stack.enqueue(texts, tickets))
        with stack.worker("bench.noop_engines:noop"):
            rates.append(stack.drain_rate(tickets))
        stack.clear()
        if (rate := stack.celery_batches_per_s(texts)) is not None:
            celery_rates.append(rate)
    on_progress("CPU time by stage")
    _, cpu_us = drain(stack, texts, tickets, by_stage=True)
    on_progress("time from put to row")
    stack.clear()
    with stack.worker("bench.noop_engines:noop"):
        stack.put_to_row_ms(texts[0])  # waits until the worker has started
        idle = [stack.put_to_row_ms(text) for text in texts[:50]]
    stack.clear()
    stack.enqueue(texts, 20_000)
    with stack.worker("bench.noop_engines:fixed_latency"):
        stack.put_to_row_ms(texts[0])
        behind = [stack.put_to_row_ms(text) for text in texts[:50]]
    on_progress("a large file")
    stack.clear()
    large = stack.enqueue(texts, _LARGE)
    loaded = load(model.folder)
    classify(loaded, texts[:32])
    alone, with_engine, one_thread = list[float](), list[float](), list[float]()
    cores = min(os.cpu_count() or 1, _MAX_WORKERS) if loaded.device.type == "cpu" else 0
    for round_number in range(rounds):
        on_progress(f"share of the engine, round {round_number + 1}")
        alone.append(_alone_per_s(loaded, texts))
        number = int(alone[-1] * _SHARE_S)
        stack.clear()
        stack.enqueue(texts, number)
        with stack.worker("triagem.engine.classify:load"):
            with_engine.append(stack.drain_rate(number))
        if not cores:
            continue
        stack.clear()
        stack.enqueue(texts, number)
        with ExitStack() as workers:
            for _ in range(cores):
                workers.enter_context(stack.worker("triagem.engine.classify:load", OMP_NUM_THREADS="1"))
            one_thread.append(stack.drain_rate(number))
    return PipelineBenchmark(
        machine=describe_machine(loaded.device),
        tickets=tickets,
        enqueued_per_s=statistics.median(enqueued),
        enqueued_large_per_s=large,
        noop_engine_per_s=_measurement(rates),
        noop_cpu_us=cpu_us,
        celery_batches_per_s=_measurement(celery_rates) if celery_rates else None,
        ratio_vs_celery_batches=statistics.median(a / b for a, b in zip(rates, celery_rates, strict=True))
        if celery_rates
        else None,
        idle_ms=_measurement(idle),
        live_behind_bulk_ms=_measurement(behind),
        live_wait_batches=(statistics.median(behind) - statistics.median(idle)) / 1000 / BATCH_S - 1,
        engine_alone_per_s=_measurement(alone),
        with_engine_per_s=_measurement(with_engine),
        share_of_engine=statistics.median(a / b for a, b in zip(with_engine, alone, strict=True)),
        one_thread_workers=cores,
        one_thread_workers_per_s=_measurement(one_thread) if cores else None,
        one_thread_share_of_engine=(
            statistics.median(a / b for a, b in zip(one_thread, alone, strict=True)) if cores else None
        ),
    )


def _alone_per_s(loaded: LoadedModel, texts: Sequence[str]) -> float:
    """Texts per second of the engine alone, repeating the texts."""
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < _SHARE_S:
        chunk = texts[done % len(texts) :][:_CHUNK]
        classify(loaded, chunk)
        done += len(chunk)
    return done / spent


def _measurement(values: Sequence[float]) -> Measurement:
    return Measurement(statistics.median(values), min(values), max(values), len(values))
