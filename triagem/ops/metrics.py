"""Prometheus metrics of ops: of its tasks, and of the state that all processes share (inbox, tables, registry).

Tasks are counted in the processes that run them; Celery imports this module by name. Another process serves
`/metrics`: PROMETHEUS_MULTIPROC_DIR, set before this import, makes prometheus-client count in files, which that
process adds up. Shared state is read at scrape time. If a store is unavailable, its gauges are absent, never 0: an
autoscaler or an alert rule that reads 0 would conclude that there is no work.
"""

import time
from collections import Counter as CountedItems
from collections.abc import Callable, Iterator
from typing import Any, Final

from celery import current_app, signals
from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from triagem.contracts.errors import TriagemError
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.outbox.deliveries import DeliveryState
from triagem.db.outbox.monitoring import table_stats
from triagem.db.reviews.expected import newest_accuracy_reports
from triagem.db.runs import find
from triagem.inbox import Inbox
from triagem.inbox.lease import paused, worker_states
from triagem.process import ScrapedGauge
from triagem.registry import Registry

UP: Final = ScrapedGauge("triagem_store_up", "1 if the store responded to this scrape", ("store",))
INBOX: Final = (
    ScrapedGauge("triagem_inbox_entries", "Entries of a lane, by state", ("lane", "state")),
    ScrapedGauge(
        "triagem_inbox_oldest_seconds", "Age of the oldest entry of a lane; 0 if the lane is empty", ("lane",)
    ),
    ScrapedGauge(
        "triagem_inbox_high_water",
        "High-water mark of a lane: producers must wait at this number of entries",
        ("lane",),
    ),
    ScrapedGauge("triagem_inbox_quarantined", "Entries that were in progress when a worker crashed; each runs alone"),
    ScrapedGauge("triagem_redis_memory_ratio", "Used memory of Redis relative to its limit; 0 without a limit"),
    ScrapedGauge("triagem_paused", "1 between `triagem pause` and `triagem resume`"),
    ScrapedGauge("triagem_workers", "Workers that hold a lease, by state", ("state",)),
)
TABLES: Final = (
    ScrapedGauge("triagem_alerts_waiting", "Alerts not delivered yet, by kind; counted up to 100,000", ("kind",)),
    ScrapedGauge(
        "triagem_deliveries",
        "Deliveries by state: all waiting and failed ones, and of the others the last 100,000 rows",
        ("kind", "state"),
    ),
    ScrapedGauge("triagem_dead_letters_kept", "Stored dead letters, by lane; counted up to 100,000", ("lane",)),
    ScrapedGauge(
        "triagem_run_tickets", "Tickets processed by the active reclassification run, by outcome", ("outcome",)
    ),
    ScrapedGauge("triagem_run_expected_tickets", "Estimated number of tickets in the active reclassification run"),
    ScrapedGauge("triagem_run_paused", "1 if the active reclassification run is paused"),
    ScrapedGauge("triagem_drift_detected", "1 if the newest drift check found drift"),
    ScrapedGauge("triagem_drift_checked_timestamp_seconds", "Time of the newest drift check"),
    ScrapedGauge(
        "triagem_accuracy_ratio",
        "Accuracy of the current version's results of the last 30 days, by estimate: `expected` is the mean"
        " confidence, `reviews` what reviews measured, `reviews_low` and `reviews_high` its 95 % interval",
        ("version", "estimate"),
    ),
    ScrapedGauge("triagem_accuracy_diverged", "1 if reviews contradict the version's confidences", ("version",)),
)
REGISTRY: Final = (
    ScrapedGauge("triagem_current_epoch", "Epoch of the newest promotion"),
    ScrapedGauge("triagem_current_trained_timestamp_seconds", "When the training of the current version started"),
)
GAUGES: Final = (UP, *INBOX, *TABLES, *REGISTRY)
_OUTCOMES: Final = ("done", "unchanged", "changed", "gone", "failed")

# Name of a gauge, value, and values of its labels.
Samples = Iterator[tuple[Any, ...]]


class StoreCollector(Collector):
    """Opens a Postgres connection per scrape and closes it: the serving process forks, so it must keep none."""

    def __init__(self, inbox: Inbox, database: Callable[[], Database], registry: Registry) -> None:
        self._inbox, self._database, self._registry = inbox, database, registry

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Gauges of all available stores."""
        up = UP.family()
        for store, gauges, read in (
            ("redis", INBOX, self._read_inbox),
            ("postgres", TABLES, self._read_tables),
            ("registry", REGISTRY, self._read_registry),
        ):
            families = {gauge.name: gauge.family() for gauge in gauges}
            try:
                for name, value, *labels in read():
                    families[name].add_metric(labels, value)
            except TriagemError:
                up.add_metric([store], 0)
                continue
            up.add_metric([store], 1)
            yield from families.values()
        yield up

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metric families without samples; reads no store."""
        return (gauge.family() for gauge in GAUGES)

    def _read_inbox(self) -> Samples:
        for lane in Lane:
            depth = self._inbox.depth(lane)
            yield "triagem_inbox_entries", depth.waiting, lane.value, "waiting"
            yield "triagem_inbox_entries", depth.in_flight, lane.value, "in-flight"
            yield "triagem_inbox_oldest_seconds", depth.oldest_s or 0, lane.value
            yield "triagem_inbox_high_water", self._inbox.settings.high_water(lane), lane.value
        yield "triagem_inbox_quarantined", self._inbox.quarantined()
        yield "triagem_redis_memory_ratio", self._inbox.memory_used()
        yield "triagem_paused", paused(self._inbox.redis)
        states = CountedItems(state.partition(":")[0] for state in worker_states(self._inbox.redis).values())
        for state in ("at work", "warming up", "waiting"):
            yield "triagem_workers", states[state], state

    def _read_tables(self) -> Samples:
        with self._database() as database:
            stats, run = table_stats(database), find(database)
            reports = newest_accuracy_reports(database, limit=1)
        for kind, number in stats.alerts.items():
            yield "triagem_alerts_waiting", number, kind
        for kind in {"result", *(kind for kind, _ in stats.deliveries)}:
            for state in DeliveryState:
                yield "triagem_deliveries", stats.deliveries.get((kind, state.value), 0), kind, state.value
        for lane in (*Lane, "webhook"):
            yield "triagem_dead_letters_kept", stats.dead_letters.get(str(lane), 0), str(lane)
        if run and run.active:
            for outcome in _OUTCOMES:
                yield "triagem_run_tickets", getattr(run, outcome), outcome
            yield "triagem_run_expected_tickets", run.expected
            yield "triagem_run_paused", run.state == "paused"
        if stats.drift:
            made_at, drifted = stats.drift
            yield "triagem_drift_checked_timestamp_seconds", made_at.timestamp()
            yield "triagem_drift_detected", drifted
        for report in reports:
            values = {
                "expected": report.expected, "reviews": report.reviewed, "reviews_low": report.low,
                "reviews_high": report.high,
            }  # fmt: skip
            for estimate, value in values.items():
                if value is not None:
                    yield "triagem_accuracy_ratio", value, report.model_version, estimate
            yield "triagem_accuracy_diverged", report.diverged, report.model_version

    def _read_registry(self) -> Samples:
        current = self._registry.current()
        yield "triagem_current_epoch", current.epoch
        started = self._registry.manifest(current.version).created_at
        yield "triagem_current_trained_timestamp_seconds", started.timestamp()


TASKS: Final = Counter("triagem_tasks", "Finished tasks by state: success, failure, retry", ["task", "state"])
TASK_SECONDS: Final = Histogram(
    "triagem_task_seconds",
    "Duration of a task, including failed ones",
    ["task"],
    buckets=(0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 180),
)

_began: dict[str, float] = {}


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _from_zero(**_: Any) -> None:
    """Create every series at 0, so that Prometheus sees the first failure as an increase."""
    for task in [name for name in current_app.tasks if name.startswith("triagem.")]:
        for state in ("success", "failure", "retry"):
            TASKS.labels(task, state)


@signals.task_prerun.connect  # type: ignore[untyped-decorator]
def _begin(task_id: str, **_: Any) -> None:
    _began[task_id] = time.perf_counter()


@signals.task_postrun.connect  # type: ignore[untyped-decorator]
def _end(task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
    TASKS.labels(task.name, (state or "failure").lower()).inc()
    if (began := _began.pop(task_id, None)) is not None:
        TASK_SECONDS.labels(task.name).observe(time.perf_counter() - began)
