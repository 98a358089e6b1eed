"""`python -m bench console`: response time of each console page, with many tickets stored."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection

import torch
from sqlalchemy import text as sql

from bench.gateway import started_gateway
from bench.harness import BenchFailed, BenchStack
from bench.machine import describe_machine
from bench.store import fill_database
from triagem.db.auth import Scope, begin_session, create_key
from triagem.db.connect import without_deadline
from triagem.gateway.console.session import COOKIE
from triagem.stack.state import choose_port

_TIMES = 15

# The same search index as `triagem.db.tickets.search` builds, computed in SQL: texts differ only in the ticket's id.
_WORDS = sql("""
INSERT INTO ticket_lexemes (ticket_id, digest, lexemes)
SELECT t.id, t.digest, common.words || to_tsvector('simple', t.external_id)
FROM tickets t, (SELECT strip(to_tsvector('portuguese', text)) AS words FROM tickets LIMIT 1) AS common
""")

PAGES = {
    "overview": "overview",
    "tickets": "tickets",
    "tickets, a band": "tickets?band=review",
    "tickets, a word of all texts": "tickets?query=fatura",
    "tickets, a word of one text": "tickets?query=4711",
    "tickets, a label that none has": "tickets?label=none",
    "a ticket": "ticket?source=fill&id=4711",
    "review": "review",
    "models": "models",
    "operations": "operations",
}


@dataclass(frozen=True, slots=True)
class PageTiming:
    """Milliseconds from request to complete response, on one connection, and the response's size."""

    page: str
    median_ms: float
    slowest_ms: float
    bytes: int


@dataclass(frozen=True, slots=True)
class ConsoleBenchmark:
    """Output of `--json`."""

    machine: dict[str, str]
    tickets: int
    pages: list[PageTiming]


def run(stack: BenchStack, tickets: int, *, on_progress: Callable[[str], None]) -> ConsoleBenchmark:
    """Fill the database, then request the pages in turn."""
    on_progress(f"fill to {tickets:,} tickets")
    fill_database(stack.database, tickets)
    with stack.database.autocommit() as connection, without_deadline(connection):
        connection.execute(sql("SET statement_timeout = 0"))
        connection.execute(_WORDS)
        connection.execute(sql("VACUUM ANALYZE"))
    key, _ = create_key(stack.database, "bench", [Scope.ADMIN])
    port = choose_port()
    with started_gateway(stack.endpoints, stack.work / "gateway.log", port, TRIAGEM_REGISTRY_URL=str(stack.registry)):
        on_progress("request pages")
        headers = {"Cookie": f"{COOKIE}={begin_session(stack.database, key)}"}
        pages = request_pages(port, headers, {name: f"/console/{path}" for name, path in PAGES.items()})
    return ConsoleBenchmark(describe_machine(torch.device("cpu")), tickets, pages)


def request_pages(port: int, headers: Mapping[str, str], paths: Mapping[str, str]) -> list[PageTiming]:
    """Request the paths in turn."""
    durations: dict[str, list[float]] = {name: [] for name in paths}
    sizes: dict[str, int] = {}
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    for _ in range(_TIMES):
        for name, path in paths.items():
            began = time.perf_counter()
            connection.request("GET", path, headers=dict(headers))
            response = connection.getresponse()
            body = response.read()
            durations[name].append((time.perf_counter() - began) * 1000)
            if response.status != 200:
                raise BenchFailed(f"page {path}: HTTP status {response.status}")
            sizes[name] = len(body)
    connection.close()
    return [PageTiming(name, statistics.median(times), max(times), sizes[name]) for name, times in durations.items()]
