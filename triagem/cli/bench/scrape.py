"""`triagem bench metrics`: what it costs a worker to be scraped."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.error import URLError
from urllib.request import urlopen

from triagem.cli.bench.ground import Bench
from triagem.cli.bench.timing import Figure, figure
from triagem.cli.stack.ports import choose

USUAL_S = 15.0  # between two scrapes, as deploy/prometheus/prometheus.yml has it
_OFTEN_S = 0.1
_ENGINE = "triagem.cli.bench.instant:instant"


@dataclass(frozen=True, slots=True)
class Report:
    """What `--json` prints. Tickets a second of one worker; `cost` is the share of them that is lost to scrapes at
    the usual distance, by the loss at ten a second; `cost_by_time` that share by how long a scrape takes meanwhile,
    which is above what it costs: while it waits, the worker works."""

    tickets: int
    alone_per_s: Figure
    scraped_per_s: Figure
    scrape_ms: float
    scrapes_per_s: float
    page_bytes: int
    ratio: float
    cost: float
    cost_by_time: float


@dataclass
class _Scrapes:
    seconds: list[float] = field(default_factory=list)
    page_bytes: int = 0


def run(on: Bench, texts: Sequence[str], *, tickets: int, rounds: int, told: Callable[[str], None]) -> Report:
    """Drain with and without scrapes, in turns, with an engine of no cost."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    scrapes, spent = _Scrapes(), 0.0
    for turn in range(rounds):
        for scraped in (False, True) if turn % 2 == 0 else (True, False):
            told(f"round {turn + 1}, {'scraped' if scraped else 'alone'}")
            on.empty()
            on.enqueue(texts, tickets)
            port = choose()
            # Also where nobody asks it answers: what is compared is the asking.
            with on.worker(_ENGINE, TRIAGEM_METRICS_PORT=str(port)):
                began = time.perf_counter()
                if scraped:
                    with _scraping(port, scrapes):
                        seconds[scraped].append(tickets / on.drained_per_s(tickets))
                    spent += time.perf_counter() - began
                else:
                    seconds[scraped].append(tickets / on.drained_per_s(tickets))
    ratio = statistics.median(a / b for a, b in zip(seconds[False], seconds[True], strict=True))
    each, often = statistics.mean(scrapes.seconds), len(scrapes.seconds) / spent
    return Report(
        tickets=tickets,
        alone_per_s=figure(tickets, seconds[False]),
        scraped_per_s=figure(tickets, seconds[True]),
        scrape_ms=each * 1000,
        scrapes_per_s=often,
        page_bytes=scrapes.page_bytes,
        ratio=ratio,
        cost=(1 - ratio) / (often * USUAL_S),
        cost_by_time=each / USUAL_S,
    )


@contextmanager
def _scraping(port: int, scrapes: _Scrapes) -> Iterator[None]:
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(_OFTEN_S):
            began = time.perf_counter()
            try:
                with urlopen(f"http://127.0.0.1:{port}/metrics") as page:
                    scrapes.page_bytes = len(page.read())
            except URLError:  # the worker starts
                continue
            scrapes.seconds.append(time.perf_counter() - began)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
