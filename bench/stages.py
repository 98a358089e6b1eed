"""CPU time of the pipeline per ticket, by thread and by stage; several source trees in turns.

git worktree add /tmp/before COMMIT
python -m bench.stages /tmp/before

BENCH_SLOWDOWN=8 python -m bench.stages --engine bench.noop_engines:simulated_gpu
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from importlib import import_module
from itertools import chain
from operator import truediv
from pathlib import Path
from typing import Any, Final

from prometheus_client import REGISTRY
from sqlalchemy import text as sql

from bench.harness import BenchFailed, BenchStack, minilm_stack
from bench.texts import read_texts
from triagem.cli import logs
from triagem.db import Database
from triagem.inbox import Inbox, InboxSettings, connect
from triagem.registry import Registry
from triagem.worker.app import loader
from triagem.worker.pipeline import Pipeline
from triagem.worker.settings import WorkerSettings

ROOT: Final = Path(__file__).parents[1]
NOOP: Final = "bench.noop_engines:noop"
THREADS: Final = ("fetcher", "classifier", "committer")
_BACKENDS: Final = sql("SELECT pid FROM pg_stat_activity")
# Stage: its functions, as module and attribute. No function calls another one of these; a name that a tree lacks is
# left out, and its time counts as the rest of the thread.
STAGES: Final = {
    "fetch": [("triagem.inbox.stream", "Inbox.fetch"), ("triagem.inbox.stream", "Inbox.fetch_blocking")],
    "in-progress marker": [("triagem.worker.fetcher", "mark_in_progress")],
    "decode and validate": [("triagem.worker.prepare", "decode_entries")],
    "clean, abstain": [("triagem.worker.prepare", "clean_parts")],
    "language": [
        ("triagem.worker.prepare", "language_probabilities"),
        ("triagem.worker.prepare", "all_language_probabilities"),
        ("triagem.worker.prepare", "message_language"),
    ],
    "look up predictions": [("triagem.worker.prepare", "look_up")],
    "tokenize": [("triagem.worker.prepare", "tokenize")],
    "decide bands, build rows": [("triagem.worker.classifier", "Classifier._classify")],
    "store": [("triagem.worker.committer", "write_window")],
    "acknowledge": [("triagem.inbox.stream", "Inbox.ack")],
}


def drain(
    stack: BenchStack, texts: Sequence[str], tickets: int, engine: str = NOOP, *, by_stage: bool
) -> tuple[float, dict[str, float]]:
    """Drain tickets. Returns tickets/s, and µs per ticket: CPU time of threads, servers and stages, and model time.

    Timing a stage costs up to 1 µs per ticket.
    """
    stack.clear()
    stack.enqueue(texts, tickets)
    stages = defaultdict[str, float](float)
    with ExitStack() as patches:
        if by_stage:
            patches.enter_context(_timed_stages(stages))
        with started(stack, engine) as (pipeline, spent):
            began, first = 0.0, 0
            while (stored := pipeline.committer.total) < tickets:
                check(pipeline)
                if stored and not first:
                    began, first = time.perf_counter(), stored
                time.sleep(0.005)
            per_s = (tickets - first) / (time.perf_counter() - began)
            cpu = spent()
    return per_s, {name: seconds / tickets * 1e6 for name, seconds in (cpu | stages).items()}


@contextmanager
def started(stack: BenchStack, engine: str) -> Iterator[tuple[Pipeline, Callable[[], dict[str, float]]]]:
    """A worker's pipeline in this process, and a function that returns the CPU seconds of its threads and servers."""
    inbox = Inbox(connect(stack.endpoints.redis_url), InboxSettings())
    inbox.create_groups()
    pipeline = Pipeline(
        inbox=inbox,
        database=Database(stack.endpoints.writer_url, disable_seqscan=True),
        registry=Registry(stack.registry),
        load=loader(engine),
        settings=WorkerSettings(),
        on_failure=lambda: None,
    )
    before = _servers_s(stack)
    pipeline.start()
    threads = {thread.name: thread for thread in threading.enumerate() if thread.name in THREADS}

    def spent() -> dict[str, float]:
        cpu = {name: time.clock_gettime(time.pthread_getcpuclockid(thread.ident)) for name, thread in threads.items()}  # type: ignore[arg-type]
        servers = {name: seconds - before[name] for name, seconds in _servers_s(stack).items()}
        return {"worker": sum(cpu.values()), **cpu, **servers}

    yield pipeline, spent
    pipeline.stop()


def check(pipeline: Pipeline) -> None:
    """Raises BenchFailed if a thread of the pipeline has failed."""
    if pipeline.supervisor.failure is not None:
        raise BenchFailed(f"the pipeline failed after {pipeline.committer.total} tickets")


@contextmanager
def _timed_stages(spent: dict[str, float]) -> Iterator[None]:
    """Add the thread's CPU time of each call of a stage's functions to `spent`."""

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent[name] += time.thread_time() - began

        return call

    with ExitStack() as undo:
        for stage, functions in STAGES.items():
            for module, path in functions:
                *owners, attribute = path.split(".")
                owner: Any = import_module(module)
                for name in owners:
                    owner = getattr(owner, name)
                if function := getattr(owner, attribute, None):
                    setattr(owner, attribute, timed(stage, function))
                    undo.callback(setattr, owner, attribute, function)
        yield


def _servers_s(stack: BenchStack) -> dict[str, float]:
    """CPU seconds of Redis' main thread and of running Postgres processes; seconds in which the model was busy."""
    redis: Any = stack.redis.info("cpu")
    backends = [
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        for (pid,) in stack.database.rows(_BACKENDS)
    ]
    return {
        "Redis": float(redis["used_cpu_user_main_thread"] + redis["used_cpu_sys_main_thread"]),
        "Postgres": sum(map(int, chain.from_iterable(backends))) / os.sysconf("SC_CLK_TCK"),
        "model busy": REGISTRY.get_sample_value("triagem_model_seconds_sum") or 0.0,
    }


def serve(engine: str) -> None:
    """For each line of standard input, `tickets,by_stage`: drain, and print the result as a line of JSON."""
    logs.configure(logging.ERROR)
    texts = read_texts(None, 512)
    with minilm_stack() as (stack, _):
        for line in sys.stdin:
            tickets, by_stage = map(int, line.split(","))
            per_s, cpu_us = drain(stack, texts, tickets, engine, by_stage=bool(by_stage))
            busy = cpu_us["model busy"] * per_s / 1e4
            print(json.dumps({"tickets/s": per_s, **cpu_us, "model busy, %": busy}), flush=True)


@contextmanager
def tree(path: Path, engine: str) -> Iterator[subprocess.Popen[str]]:
    """A process with the code of a source tree and its own servers."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, __file__, "--serve", "--engine", engine]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


def ask(process: subprocess.Popen[str], tickets: int, *, by_stage: bool) -> dict[str, float]:
    """The result of a drain in the other process."""
    assert process.stdin
    assert process.stdout
    print(f"{tickets},{int(by_stage)}", file=process.stdin, flush=True)
    answer: dict[str, float] = json.loads(process.stdout.readline())
    return answer


def compare(trees: Sequence[Path], tickets: int, rounds: int, engine: str) -> None:
    """Print the medians of each tree, the median of the ratios to the first tree, and one drain by stage."""
    with ExitStack() as stack:
        sides = [stack.enter_context(tree(path, engine)) for path in trees]
        drains: list[list[dict[str, float]]] = []
        for number in range(rounds):
            forward = number % 2 == 0
            answers = [ask(side, tickets, by_stage=False) for side in (sides if forward else sides[::-1])]
            drains.append(answers if forward else answers[::-1])
        by_stage = [ask(side, tickets, by_stage=True) for side in sides]
    print(f"{'CPU µs per ticket':24}" + "".join(f"{path.name:>16}" for path in trees) + "   ratios to the first")
    for name in drains[0][0]:
        columns = list(zip(*([drain[name] for drain in row] for row in drains), strict=True))
        cells = "".join(f"{statistics.median(column):16,.1f}" for column in columns)
        ratios = [statistics.median(map(truediv, column, columns[0])) for column in columns[1:]]
        print(f"{name:24}{cells}" + "".join(f"{ratio:8.3f}" for ratio in ratios))
    print("one drain each, by stage:")
    for name in [*STAGES, *THREADS]:
        print(f"{name:24}" + "".join(f"{side.get(name, 0.0):16,.1f}" for side in by_stage))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, nargs="*", help="source trees to compare with")
    parser.add_argument("--tickets", type=int, default=20_000, help="tickets per drain")
    parser.add_argument("--rounds", type=int, default=3, help="drains of each tree")
    parser.add_argument("--engine", default=NOOP, help="function that loads the engine")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.engine)
    else:
        compare([*(path.resolve() for path in options.before), ROOT], options.tickets, options.rounds, options.engine)
