"""Measures a worker and the reads with long conversations (no-op engine), on temporary servers.

python -m bench.conversations --conversations 1000 --messages 200
"""

import argparse
import logging
import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from bench.console import request_pages
from bench.gateway import started_gateway
from bench.harness import BenchStack, minilm_stack
from bench.stages import NOOP, check, started
from bench.texts import read_texts
from triagem.cli import logs
from triagem.contracts.ticket import Author, Lane, Message, Ticket
from triagem.db.auth import Scope, begin_session, create_key
from triagem.gateway.console.session import COOKIE
from triagem.inbox import Inbox, InboxSettings
from triagem.stack.state import choose_port
from triagem.worker.pipeline import Pipeline

_BLOCKS: Final = 10
_AGENT: Final = 4  # each fourth message is an agent's
_PATHS: Final = {
    "GET /v1/tickets/…": "/v1/tickets/bench/{id}",
    "GET /v1/results": "/v1/results",
    "GET /v1/changes": "/v1/changes",
    "console: the ticket": "/console/ticket?source=bench&id={id}",
    "console: tickets": "/console/tickets",
    "console: review": "/console/review",
}


def run(conversations: int, messages: int) -> None:
    """Print CPU time per message as the conversations grow, then the time and size of responses."""
    texts = read_texts(None, 512)
    with minilm_stack() as (stack, _):
        with started(stack, NOOP) as (pipeline, spent):
            print("CPU µs per row: worker, Postgres; resident memory")
            whole = [[_row(f"w{number}-{name}", texts) for name in range(conversations)] for number in range(4)]
            for part in (whole[:2], whole[2:]):
                _drain(stack, pipeline, spent, "whole tickets", part)
            size = max(1, messages // _BLOCKS)
            rounds = ([_message(name, number, texts) for name in range(conversations)] for number in range(messages))
            for first in range(0, messages, size):
                _drain(stack, pipeline, spent, f"messages {first + 1} to {first + size}", [*islice(rounds, size)])
            _drain(stack, pipeline, spent, "short", [[_row("short", texts)]])
        _read(stack)


def _drain(
    stack: BenchStack,
    pipeline: Pipeline,
    spent: Callable[[], dict[str, float]],
    name: str,
    rounds: Sequence[Sequence[Ticket]],
) -> None:
    inbox = Inbox(stack.redis, InboxSettings())
    before = spent()
    for rows in rounds:
        stack.publisher.publish_many(rows)
        while inbox.depth(Lane.LIVE).waiting + inbox.in_flight(Lane.LIVE):
            check(pipeline)
            time.sleep(0.02)
    after, number = spent(), sum(map(len, rounds))
    worker, postgres = ((after[name] - before[name]) / number * 1e6 for name in ("worker", "Postgres"))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    print(f"{name:24}{worker:8.0f}{postgres:8.0f}{memory:8.0f} MiB", flush=True)


def _row(name: str, texts: Sequence[str]) -> Ticket:
    return Ticket(source="bench", external_id=name, text=f"{texts[len(name) % len(texts)]} {name}")


def _message(name: int, number: int, texts: Sequence[str]) -> Ticket:
    text = f"{texts[(name * 7 + number) % len(texts)]} {name}-{number}"
    author = Author.AGENT if number % _AGENT == _AGENT - 1 else Author.CUSTOMER
    message = Message(id=str(number), author=author)
    return Ticket(source="bench", external_id=f"c{name}", text=text, message=message)


def _read(stack: BenchStack) -> None:
    key, secret = create_key(stack.database, "bench", [Scope.ADMIN])
    headers = {"Cookie": f"{COOKIE}={begin_session(stack.database, key)}", "Authorization": f"Bearer {secret}"}
    paths = {
        f"{name}{of}": path.format(id=ticket)
        for ticket, of in (("short", ", one text"), ("c0", ", conversation"))
        for name, path in _PATHS.items()
        if "{id}" in path or ticket == "c0"
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
    options = parser.parse_args()
    logs.configure(logging.ERROR)
    run(options.conversations, options.messages)
