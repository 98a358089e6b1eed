"""`python -m bench metrics`: the cost of Prometheus scrapes for a worker."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.error import URLError
from urllib.request import urlopen

from bench.harness import BenchStack
from bench.timing import Measurement, rate_of
from triagem.stack.state import choose_port

SCRAPE_INTERVAL_S = 15.0  # as in deploy/prometheus/prometheus.yml
_BENCH_INTERVAL_S = 0.1
_ENGINE = "bench.noop_engines:noop"


@dataclass(frozen=True, slots=True)
class ScrapeBenchmark:
    """Output of `--json`. Tickets per second of one worker. `cost` is the share of throughput lost to scrapes at the
    usual interval, computed from the loss at ten per second. `cost_by_time` is computed from a scrape's time:
    an upper bound, because the worker goes on while a scrape waits."""

    tickets: int
    alone_per_s: Measurement
    scraped_per_s: Measurement
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


def run(
    stack: BenchStack, texts: Sequence[str], *, tickets: int, rounds: int, on_progress: Callable[[str], None]
) -> ScrapeBenchmark:
    """Drain with and without scrapes, alternating, with a no-op engine."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    scrapes, scraped_s = _Scrapes(), 0.0
    for round_number in range(rounds):
        for scraped in (False, True) if round_number % 2 == 0 else (True, False):
            on_progress(f"round {round_number + 1}, {'scraped' if scraped else 'alone'}")
            stack.clear()
            stack.enqueue(texts, tickets)
            port = choose_port()
            # The worker serves the endpoint in both cases; only the scrapes differ.
            with stack.worker(_ENGINE, TRIAGEM_METRICS_PORT=str(port)):
                began = time.perf_counter()
                if scraped:
                    with _scraping(port, scrapes):
                        seconds[scraped].append(tickets / stack.drain_rate(tickets))
                    scraped_s += time.perf_counter() - began
                else:
                    seconds[scraped].append(tickets / stack.drain_rate(tickets))
    ratio = statistics.median(a / b for a, b in zip(seconds[False], seconds[True], strict=True))
    scrape_s, scrapes_per_s = statistics.mean(scrapes.seconds), len(scrapes.seconds) / scraped_s
    return ScrapeBenchmark(
        tickets=tickets,
        alone_per_s=rate_of(tickets, seconds[False]),
        scraped_per_s=rate_of(tickets, seconds[True]),
        scrape_ms=scrape_s * 1000,
        scrapes_per_s=scrapes_per_s,
        page_bytes=scrapes.page_bytes,
        ratio=ratio,
        cost=(1 - ratio) / (scrapes_per_s * SCRAPE_INTERVAL_S),
        cost_by_time=scrape_s / SCRAPE_INTERVAL_S,
    )


@contextmanager
def _scraping(port: int, scrapes: _Scrapes) -> Iterator[None]:
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(_BENCH_INTERVAL_S):
            began = time.perf_counter()
            try:
                with urlopen(f"http://127.0.0.1:{port}/metrics") as page:
                    scrapes.page_bytes = len(page.read())
            except URLError:  # the worker is still starting
                continue
            scrapes.seconds.append(time.perf_counter() - began)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
