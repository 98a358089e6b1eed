"""Measures a worker and the reads with long conversations (no-op engine), on temporary servers.

python -m bench.conversations --conversations 1000 --messages 200
python -m bench.conversations --conversations 200 --messages 40 --stored 10000000
"""

import argparse
import logging
import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final
from zlib import crc32

from bench.console import request_pages
from bench.gateway import started_gateway
from bench.harness import BenchStack, minilm_stack
from bench.reclassify import ops_processes, read_run, start_run
from bench.stages import NOOP, check, started
from bench.store import fill_database
from bench.texts import read_texts
from triagem.cli import logs
from triagem.contracts.ticket import Author, Lane, Message, Ticket
from triagem.db.auth import Scope, begin_session, create_key
from triagem.gateway.console.session import COOKIE
from triagem.inbox import Inbox, InboxSettings
from triagem.stack.state import choose_port
from triagem.worker.pipeline import Pipeline

Measured = tuple[Pipeline, Callable[[], dict[str, float]]]  # of `bench.stages.started`

_WHOLE, _SOURCE = "one-text", "conversations"
_BLOCKS: Final = 10
_AGENT: Final = 4  # each fourth message is an agent's
_PATHS: Final = {
    "GET /v1/tickets/…": "/v1/tickets/{source}/{id}",
    "GET /v1/results": "/v1/results",
    "GET /v1/changes": "/v1/changes",
    "console: the ticket": "/console/ticket?source={source}&id={id}",
    "console: tickets": "/console/tickets",
    "console: review": "/console/review",
}


def run(conversations: int, messages: int, stored: int) -> None:
    """Print CPU time per message as conversations grow, and per ticket of a run; then time and size of responses.

    With `stored`, new conversations are measured again in a database of that many other tickets.
    """
    texts = read_texts(None, 512)
    with minilm_stack() as (stack, show):
        with started(stack, NOOP) as measured:
            print("CPU µs per row: worker, Postgres; resident memory")
            _write(stack, measured, [f"c{number}" for number in range(conversations)], messages, texts)
            if stored:
                show(f"store {stored:,} tickets")
                fill_database(stack.database, stored)
                print(f"with {stored:,} other tickets")
                _write(stack, measured, [f"late-c{number}" for number in range(conversations)], messages, texts)
            with ops_processes(stack):
                for source in (_WHOLE, _SOURCE):
                    _reclassify(stack, measured, source)
        _read(stack)


def _write(stack: BenchStack, measured: Measured, names: Sequence[str], messages: int, texts: Sequence[str]) -> None:
    for part in ("first", "second"):
        rows = [[_row(f"{name}-{part}-{number}", texts) for name in names] for number in range(2)]
        _drain(stack, measured, f"whole tickets, {part} part", rows)
    size = max(1, messages // _BLOCKS)
    rounds = ([_message(name, number, texts) for name in names] for number in range(messages))
    for first in range(0, messages, size):
        _drain(stack, measured, f"messages {first + 1} to {first + size}", [*islice(rounds, size)])


def _reclassify(stack: BenchStack, measured: Measured, source: str) -> None:
    pipeline, spent = measured
    before, run_id = spent(), start_run(stack, force=True, source=source)
    while (progress := read_run(stack, run_id)).active:
        check(pipeline)
        time.sleep(0.1)
    _print_cpu(f"run over {progress.done} {source}", before, spent(), progress.done)


def _drain(stack: BenchStack, measured: Measured, name: str, rounds: Sequence[Sequence[Ticket]]) -> None:
    inbox = Inbox(stack.redis, InboxSettings())
    pipeline, spent = measured
    before = spent()
    for rows in rounds:
        stack.publisher.publish_many(rows)
        while inbox.depth(Lane.LIVE).waiting + inbox.in_flight(Lane.LIVE):
            check(pipeline)
            time.sleep(0.02)
    _print_cpu(name, before, spent(), sum(map(len, rounds)))


def _print_cpu(name: str, before: dict[str, float], after: dict[str, float], number: int) -> None:
    worker, postgres = ((after[name] - before[name]) / number * 1e6 for name in ("worker", "Postgres"))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    print(f"{name:32}{worker:8.0f}{postgres:8.0f}{memory:8.0f} MiB", flush=True)


def _row(name: str, texts: Sequence[str]) -> Ticket:
    return Ticket(source=_WHOLE, external_id=name, text=f"{texts[len(name) % len(texts)]} {name}")


def _message(name: str, number: int, texts: Sequence[str]) -> Ticket:
    text = f"{texts[(crc32(name.encode()) + number) % len(texts)]} {name}-{number}"
    author = Author.AGENT if number % _AGENT == _AGENT - 1 else Author.CUSTOMER
    message = Message(id=str(number), author=author)
    return Ticket(source=_SOURCE, external_id=name, text=text, message=message)


def _read(stack: BenchStack) -> None:
    key, secret = create_key(stack.database, "bench", [Scope.ADMIN])
    headers = {"Cookie": f"{COOKIE}={begin_session(stack.database, key)}", "Authorization": f"Bearer {secret}"}
    paths = {
        f"{name}, {source}": path.format(source=source, id=ticket)
        for source, ticket in ((_WHOLE, "c0-first-0"), (_SOURCE, "c0"))
        for name, path in _PATHS.items()
        if "{id}" in path or source == _SOURCE
    }
    port = choose_port()
    log = stack.work / "gateway.log"
    with started_gateway(stack.endpoints, log, port, TRIAGEM_REGISTRY_URL=str(stack.registry)):
        for page in request_pages(port, headers, paths):
            print(f"{page.page:40}{page.median_ms:8.1f} ms{page.bytes / 1024:10.1f} KB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=200, help="per conversation")
    parser.add_argument("--stored", type=int, default=0, help="other tickets, stored before a second measurement")
    options = parser.parse_args()
    logs.configure(logging.ERROR)
    run(options.conversations, options.messages, options.stored)
