"""A worker's memory is bounded: it holds tickets in progress, and frees classified ones."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import StartWorker
from tests.support.waiting import until
from triagem import Publisher
from triagem.cli.processes import WorkerProcess
from triagem.contracts.ticket import Lane
from triagem.inbox import Inbox

GROWTH_MIB = 12.0
CHUNK = 5_000


def resident_mib(pid: int) -> float:
    """The process's resident memory."""
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)])) / 1024


def pass_through(inbox: Inbox, tickets: range) -> None:
    """Publish tickets, each with its own text, and wait until all have left Redis."""
    publisher = Publisher(inbox)
    for start in tickets[::CHUNK]:
        chunk = range(start, min(start + CHUNK, tickets.stop))
        publisher.publish_many(
            [
                {"source": "crm", "external_id": str(number), "text": f"word {number} " * (1 + number % 3)}
                for number in chunk
            ]
        )
        until(lambda: inbox.depth(Lane.LIVE).waiting + inbox.in_flight(Lane.LIVE) == 0, seconds=120)


@pytest.mark.parametrize("tickets", [15_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_worker_does_not_grow_with_the_tickets_it_has_classified(
    tickets: int, inbox: Inbox, start_worker: StartWorker, instant_models: Path
) -> None:
    worker = start_worker(instant_models, "bench.noop_engines:noop")
    assert_bounded(worker, inbox, warm_up=tickets // 3, tickets=tickets)


@pytest.mark.slow
def test_a_worker_with_a_real_bert_does_not_grow_either(
    inbox: Inbox, start_worker: StartWorker, bert_models: Path
) -> None:
    worker = start_worker(bert_models, "triagem.engine.classify:load")
    assert_bounded(worker, inbox, warm_up=50_000, tickets=150_000)


def assert_bounded(worker: WorkerProcess, inbox: Inbox, *, warm_up: int, tickets: int) -> None:
    """`warm_up`: number of tickets after which caches are full and the allocator needs no more memory."""
    pass_through(inbox, range(warm_up))
    before = resident_mib(worker.pid)
    pass_through(inbox, range(warm_up, tickets))
    assert worker.exit_status is None
    assert resident_mib(worker.pid) - before < GROWTH_MIB
