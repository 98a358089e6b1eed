"""What is the same for all workers: the inbox, the tables, the registry. Told by `triagem ops`, asked at each scrape.

While a store does not answer its figures are absent, never 0: a scaler or a rule that read 0 would think all is done.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from triagem.contracts.errors import TriagemError
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.deliveries import State
from triagem.db.figures import counts
from triagem.db.runs import find
from triagem.inbox import Inbox
from triagem.inbox.desired import paused
from triagem.inbox.lease import workers
from triagem.registry import Registry
from triagem.worker.figures import Figure

UP: Final = Figure("triagem_store_up", "1 if the store answered this scrape", ("store",))

ENTRIES: Final = Figure("triagem_inbox_entries", "Entries of a lane", ("lane", "state"))
OLDEST: Final = Figure("triagem_inbox_oldest_seconds", "Age of a lane's oldest entry; 0 where it is empty", ("lane",))
MARK: Final = Figure("triagem_inbox_mark", "Entries at which producers of a lane are told to wait", ("lane",))
SUSPECTS: Final = Figure("triagem_inbox_suspects", "Entries that a worker died with, which now run alone")
MEMORY: Final = Figure("triagem_redis_memory_ratio", "Memory that Redis uses of its limit; 0 without a limit")
PAUSED: Final = Figure("triagem_paused", "1 between `triagem pause` and `triagem resume`")
WORKERS: Final = Figure("triagem_workers", "Workers that hold a lease, by what they do", ("state",))

ALERTS: Final = Figure("triagem_alerts_waiting", "Alerts that were not delivered yet, 100,000 at most", ("kind",))
DELIVERIES: Final = Figure(
    "triagem_deliveries",
    "Deliveries: all that wait, and of the newest 100,000 what became of them",
    ("kind", "state"),
)
LETTERS: Final = Figure("triagem_dead_letters_kept", "Dead letters to be looked at, 100,000 at most", ("lane",))
RUN: Final = Figure("triagem_run_tickets", "Tickets of the active run over stored ones, by outcome", ("outcome",))
RUN_EXPECTED: Final = Figure("triagem_run_expected_tickets", "Tickets that the active run will be about, estimated")
RUN_PAUSED: Final = Figure("triagem_run_paused", "1 if the active run is paused")
DRIFTED: Final = Figure("triagem_drifted", "1 if the newest look for drift found one")
DRIFT_AT: Final = Figure("triagem_drift_looked_timestamp_seconds", "When drift was last looked for")

CURRENT_EPOCH: Final = Figure("triagem_current_epoch", "Epoch of the newest promotion")
CURRENT_MADE: Final = Figure("triagem_current_made_timestamp_seconds", "When the current version was trained")

INBOX: Final = (ENTRIES, OLDEST, MARK, SUSPECTS, MEMORY, PAUSED, WORKERS)
TABLES: Final = (ALERTS, DELIVERIES, LETTERS, RUN, RUN_EXPECTED, RUN_PAUSED, DRIFTED, DRIFT_AT)
REGISTRY: Final = (CURRENT_EPOCH, CURRENT_MADE)
FIGURES: Final = (UP, *INBOX, *TABLES, *REGISTRY)

_OUTCOMES: Final = ("done", "unchanged", "changed", "gone", "failed")

Families = dict[Figure, GaugeMetricFamily]


class Stores(Collector):
    """Opens a connection to Postgres for each scrape only: the process that tells this forks others."""

    def __init__(self, inbox: Inbox, database: Callable[[], Database], registry: Registry) -> None:
        self._inbox, self._database, self._registry = inbox, database, registry

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All figures of the stores that answer."""
        up = UP.family()
        for store, figures, ask in (
            ("redis", INBOX, self._ask_inbox),
            ("postgres", TABLES, self._ask_tables),
            ("registry", REGISTRY, self._ask_registry),
        ):
            families = {figure: figure.family() for figure in figures}
            try:
                ask(families)
            except TriagemError:
                up.add_metric([store], 0)
                continue
            up.add_metric([store], 1)
            yield from families.values()
        yield up

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Their names, without asking."""
        return (figure.family() for figure in FIGURES)

    def _ask_inbox(self, families: Families) -> None:
        for lane in Lane:
            depth = self._inbox.depth(lane)
            families[ENTRIES].add_metric([lane.value, "waiting"], depth.waiting)
            families[ENTRIES].add_metric([lane.value, "in-flight"], depth.in_flight)
            families[OLDEST].add_metric([lane.value], depth.oldest_s or 0)
            families[MARK].add_metric([lane.value], self._inbox.settings.mark(lane))
        families[SUSPECTS].add_metric([], self._inbox.suspects())
        families[MEMORY].add_metric([], self._inbox.memory_used())
        families[PAUSED].add_metric([], paused(self._inbox.redis))
        states = Counter(said.partition(":")[0] for said in workers(self._inbox.redis).values())
        for state in ("at work", "warming up", "waiting"):
            families[WORKERS].add_metric([state], states[state])

    def _ask_tables(self, families: Families) -> None:
        with self._database() as database:
            found, run = counts(database), find(database)
        for kind, number in found.alerts.items():
            families[ALERTS].add_metric([kind], number)
        for kind in {"result", *(kind for kind, _ in found.deliveries)}:
            for state in State:
                families[DELIVERIES].add_metric([kind, state.value], found.deliveries.get((kind, state.value), 0))
        for lane in (*Lane, "webhook"):
            families[LETTERS].add_metric([str(lane)], found.letters.get(str(lane), 0))
        if run and run.active:
            for outcome in _OUTCOMES:
                families[RUN].add_metric([outcome], getattr(run, outcome))
            families[RUN_EXPECTED].add_metric([], run.expected)
            families[RUN_PAUSED].add_metric([], run.state == "paused")
        if found.drift:
            made_at, drifted = found.drift
            families[DRIFT_AT].add_metric([], made_at.timestamp())
            families[DRIFTED].add_metric([], drifted)

    def _ask_registry(self, families: Families) -> None:
        current = self._registry.current()
        families[CURRENT_EPOCH].add_metric([], current.epoch)
        families[CURRENT_MADE].add_metric([], self._registry.manifest(current.version).created_at.timestamp())
