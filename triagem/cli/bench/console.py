"""`triagem bench console`: how long the server takes for each page, with many tickets stored."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection

import torch
from sqlalchemy import text as sql

from triagem.cli.bench.gateway import started
from triagem.cli.bench.ground import Bench, BenchFailed
from triagem.cli.bench.machine import describe
from triagem.cli.bench.store import fill
from triagem.cli.stack.ports import choose
from triagem.db.keys import Scope, create
from triagem.db.sessions import begin
from triagem.gateway.console.session import COOKIE

_TIMES = 15

# What `triagem.db.search` would have learned: the texts are all alike but for the ticket's id.
_WORDS = sql("""
INSERT INTO ticket_words (ticket_id, digest, words)
SELECT t.id, t.digest, common.words || to_tsvector('simple', t.external_id)
FROM tickets t, (SELECT strip(to_tsvector('portuguese', text)) AS words FROM tickets LIMIT 1) AS common
""")

PAGES = {
    "overview": "overview",
    "tickets": "tickets",
    "tickets, a band": "tickets?band=review",
    "tickets, a word of all texts": "tickets?words=fatura",
    "tickets, a word of one text": "tickets?words=4711",
    "tickets, a label that none has": "tickets?label=none",
    "a ticket": "ticket?source=fill&id=4711",
    "review": "review",
    "models": "models",
    "operations": "operations",
}


@dataclass(frozen=True, slots=True)
class Page:
    """Milliseconds from asked to answered, in full, on one connection; and what was sent."""

    page: str
    median_ms: float
    slowest_ms: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """What `--json` prints."""

    machine: dict[str, str]
    tickets: int
    pages: list[Page]


def run(on: Bench, tickets: int, *, told: Callable[[str], None]) -> Report:
    """Fill, then ask for each page in turns."""
    told(f"fill to {tickets:,} tickets")
    fill(on.database, tickets)
    with on.database.autocommit() as connection:
        connection.execute(sql("SET statement_timeout = 0"))
        connection.execute(_WORDS)
        connection.execute(sql("VACUUM ANALYZE"))
    key, _ = create(on.database, "bench", [Scope.ADMIN])
    port = choose()
    with started(on.endpoints, on.work / "gateway.log", port, TRIAGEM_REGISTRY_URL=str(on.registry)):
        told("ask for pages")
        pages = _ask(port, begin(on.database, key))
    return Report(describe(torch.device("cpu")), tickets, pages)


def _ask(port: int, token: str) -> list[Page]:
    took: dict[str, list[float]] = {name: [] for name in PAGES}
    sizes: dict[str, int] = {}
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    for _ in range(_TIMES):
        for name, path in PAGES.items():
            began = time.perf_counter()
            connection.request("GET", f"/console/{path}", headers={"Cookie": f"{COOKIE}={token}"})
            answer = connection.getresponse()
            body = answer.read()
            took[name].append((time.perf_counter() - began) * 1000)
            if answer.status != 200:
                raise BenchFailed(f"the page {path} answered {answer.status}")
            sizes[name] = len(body)
    connection.close()
    return [Page(name, statistics.median(times), max(times), sizes[name]) for name, times in took.items()]
