"""`triagem bench pipe`: what the pipe around the engine costs."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from triagem.cli.bench.ground import Bench
from triagem.cli.bench.machine import describe
from triagem.cli.bench.model import Measured
from triagem.cli.bench.timing import Figure
from triagem.engine.classify import LoadedModel, classify, load

BATCH_S = 0.02  # of `triagem.cli.bench.instant:steady`
_SHARE_S = 20.0  # shorter, and the worker's first and last windows are a good part of it
_SOME = 256
_LARGE = 90_000  # under the mark of the bulk lane: nobody drains it


@dataclass(frozen=True, slots=True)
class Report:
    """What `--json` prints. Tickets a second of one worker process; milliseconds from put to a committed row."""

    machine: dict[str, str]
    tickets: int
    enqueued_per_s: float
    enqueued_large_per_s: float
    instant_engine_per_s: Figure
    celery_batches_per_s: Figure | None
    ratio_vs_celery_batches: float | None
    idle_ms: Figure
    live_behind_bulk_ms: Figure
    live_wait_batches: float  # beyond the idle time and its own micro-batch
    engine_alone_per_s: Figure
    with_engine_per_s: Figure
    share_of_engine: float


def run(
    on: Bench,
    model: Measured,
    texts: Sequence[str],
    *,
    tickets: int,
    rounds: int,
    told: Callable[[str], None],
) -> Report:
    """Measure; `told` hears what is going on. `model` is the current version of the bench's registry."""
    ours: list[float] = []
    theirs: list[float] = []
    enqueued: list[float] = []
    for turn in range(rounds):
        told(f"drain, round {turn + 1}")
        on.empty()
        enqueued.append(on.enqueue(texts, tickets))
        with on.worker("triagem.cli.bench.instant:instant"):
            ours.append(on.drained_per_s(tickets))
        on.empty()
        if (rate := on.celery_batches_per_s(texts)) is not None:
            theirs.append(rate)
    told("time from put to row")
    on.empty()
    with on.worker("triagem.cli.bench.instant:instant"):
        on.put_to_row_ms(texts[0])  # waits for the worker's start
        idle = [on.put_to_row_ms(text) for text in texts[:50]]
    on.empty()
    on.enqueue(texts, 20_000)
    with on.worker("triagem.cli.bench.instant:steady"):
        on.put_to_row_ms(texts[0])
        behind = [on.put_to_row_ms(text) for text in texts[:50]]
    told("a large file")
    on.empty()
    large = on.enqueue(texts, _LARGE)
    loaded = load(model.folder)
    classify(loaded, texts[:32])
    alone, with_engine = list[float](), list[float]()
    for turn in range(rounds):
        told(f"share of the engine, round {turn + 1}")
        alone.append(_alone_per_s(loaded, texts))
        number = int(alone[-1] * _SHARE_S)
        on.empty()
        on.enqueue(texts, number)
        with on.worker("triagem.engine.classify:load"):
            with_engine.append(on.drained_per_s(number))
    return Report(
        machine=describe(loaded.device),
        tickets=tickets,
        enqueued_per_s=statistics.median(enqueued),
        enqueued_large_per_s=large,
        instant_engine_per_s=_figure(ours),
        celery_batches_per_s=_figure(theirs) if theirs else None,
        ratio_vs_celery_batches=statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        if theirs
        else None,
        idle_ms=_figure(idle),
        live_behind_bulk_ms=_figure(behind),
        live_wait_batches=(statistics.median(behind) - statistics.median(idle)) / 1000 / BATCH_S - 1,
        engine_alone_per_s=_figure(alone),
        with_engine_per_s=_figure(with_engine),
        share_of_engine=statistics.median(a / b for a, b in zip(with_engine, alone, strict=True)),
    )


def _alone_per_s(loaded: LoadedModel, texts: Sequence[str]) -> float:
    """Texts a second of the engine alone, the texts over and over."""
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < _SHARE_S:
        some = texts[done % len(texts) :][:_SOME]
        classify(loaded, some)
        done += len(some)
    return done / spent


def _figure(values: Sequence[float]) -> Figure:
    return Figure(statistics.median(values), min(values), max(values), len(values))
