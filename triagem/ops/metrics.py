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
from triagem.db.training_jobs import count_jobs
from triagem.inbox import Inbox
from triagem.inbox.desired import paused
from triagem.inbox.lease import worker_states
from triagem.process import ScrapedGauge
from triagem.registry import Registry

UP: Final = ScrapedGauge("triagem_store_up", "1 if the store responded to this scrape", ("store",))

ENTRIES: Final = ScrapedGauge("triagem_inbox_entries", "Entries of a lane, by state", ("lane", "state"))
OLDEST: Final = ScrapedGauge(
    "triagem_inbox_oldest_seconds", "Age of the oldest entry of a lane; 0 if the lane is empty", ("lane",)
)
HIGH_WATER: Final = ScrapedGauge(
    "triagem_inbox_high_water", "High-water mark of a lane: producers must wait at this number of entries", ("lane",)
)
QUARANTINED: Final = ScrapedGauge(
    "triagem_inbox_quarantined", "Entries that were in progress when a worker crashed; each runs alone"
)
MEMORY: Final = ScrapedGauge(
    "triagem_redis_memory_ratio", "Used memory of Redis relative to its limit; 0 without a limit"
)
PAUSED: Final = ScrapedGauge("triagem_paused", "1 between `triagem pause` and `triagem resume`")
WORKERS: Final = ScrapedGauge("triagem_workers", "Workers that hold a lease, by state", ("state",))

ALERTS: Final = ScrapedGauge(
    "triagem_alerts_waiting", "Alerts not delivered yet, by kind; counted up to 100,000", ("kind",)
)
DELIVERIES: Final = ScrapedGauge(
    "triagem_deliveries",
    "Deliveries by state: all waiting and failed ones, and of the others the last 100,000 rows",
    ("kind", "state"),
)
DEAD_LETTERS: Final = ScrapedGauge(
    "triagem_dead_letters_kept", "Stored dead letters, by lane; counted up to 100,000", ("lane",)
)
RUN: Final = ScrapedGauge(
    "triagem_run_tickets", "Tickets processed by the active reclassification run, by outcome", ("outcome",)
)
RUN_EXPECTED: Final = ScrapedGauge(
    "triagem_run_expected_tickets", "Estimated number of tickets in the active reclassification run"
)
RUN_PAUSED: Final = ScrapedGauge("triagem_run_paused", "1 if the active reclassification run is paused")
TRAINING_JOBS: Final = ScrapedGauge("triagem_training_jobs", "Training jobs by state", ("kind", "state"))
DRIFT_DETECTED: Final = ScrapedGauge("triagem_drift_detected", "1 if the newest drift check found drift")
DRIFT_CHECKED_AT: Final = ScrapedGauge("triagem_drift_checked_timestamp_seconds", "Time of the newest drift check")
ACCURACY: Final = ScrapedGauge(
    "triagem_accuracy_ratio",
    "Accuracy of the current version's results of the last 30 days, by estimate: `expected` is the mean confidence,"
    " `reviews` what reviews measured, `reviews_low` and `reviews_high` its 95 % interval",
    ("version", "estimate"),
)
ACCURACY_DIVERGED: Final = ScrapedGauge(
    "triagem_accuracy_diverged", "1 if reviews contradict the version's confidences", ("version",)
)

CURRENT_EPOCH: Final = ScrapedGauge("triagem_current_epoch", "Epoch of the newest promotion")
CURRENT_TRAINED_AT: Final = ScrapedGauge(
    "triagem_current_trained_timestamp_seconds", "Training time of the current version"
)

INBOX: Final = (ENTRIES, OLDEST, HIGH_WATER, QUARANTINED, MEMORY, PAUSED, WORKERS)
TABLES: Final = (
    ALERTS, DELIVERIES, DEAD_LETTERS, RUN, RUN_EXPECTED, RUN_PAUSED, TRAINING_JOBS, DRIFT_DETECTED, DRIFT_CHECKED_AT,
    ACCURACY, ACCURACY_DIVERGED,
)  # fmt: skip
REGISTRY: Final = (CURRENT_EPOCH, CURRENT_TRAINED_AT)
GAUGES: Final = (UP, *INBOX, *TABLES, *REGISTRY)

_OUTCOMES: Final = ("done", "unchanged", "changed", "gone", "failed")

Families = dict[ScrapedGauge, GaugeMetricFamily]


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
            families = {gauge: gauge.family() for gauge in gauges}
            try:
                read(families)
            except TriagemError:
                up.add_metric([store], 0)
                continue
            up.add_metric([store], 1)
            yield from families.values()
        yield up

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metric families without samples; reads no store."""
        return (gauge.family() for gauge in GAUGES)

    def _read_inbox(self, families: Families) -> None:
        for lane in Lane:
            depth = self._inbox.depth(lane)
            families[ENTRIES].add_metric([lane.value, "waiting"], depth.waiting)
            families[ENTRIES].add_metric([lane.value, "in-flight"], depth.in_flight)
            families[OLDEST].add_metric([lane.value], depth.oldest_s or 0)
            families[HIGH_WATER].add_metric([lane.value], self._inbox.settings.high_water(lane))
        families[QUARANTINED].add_metric([], self._inbox.quarantined())
        families[MEMORY].add_metric([], self._inbox.memory_used())
        families[PAUSED].add_metric([], paused(self._inbox.redis))
        states = CountedItems(state.partition(":")[0] for state in worker_states(self._inbox.redis).values())
        for state in ("at work", "warming up", "waiting"):
            families[WORKERS].add_metric([state], states[state])

    def _read_tables(self, families: Families) -> None:
        with self._database() as database:
            stats, run, jobs = table_stats(database), find(database), count_jobs(database)
            reports = newest_accuracy_reports(database, limit=1)
        for kind, number in stats.alerts.items():
            families[ALERTS].add_metric([kind], number)
        for kind in {"result", *(kind for kind, _ in stats.deliveries)}:
            for state in DeliveryState:
                families[DELIVERIES].add_metric([kind, state.value], stats.deliveries.get((kind, state.value), 0))
        for lane in (*Lane, "webhook"):
            families[DEAD_LETTERS].add_metric([str(lane)], stats.dead_letters.get(str(lane), 0))
        for (job_kind, job_state), number in jobs.items():
            families[TRAINING_JOBS].add_metric([job_kind, job_state], number)
        if run and run.active:
            for outcome in _OUTCOMES:
                families[RUN].add_metric([outcome], getattr(run, outcome))
            families[RUN_EXPECTED].add_metric([], run.expected)
            families[RUN_PAUSED].add_metric([], run.state == "paused")
        if stats.drift:
            made_at, drifted = stats.drift
            families[DRIFT_CHECKED_AT].add_metric([], made_at.timestamp())
            families[DRIFT_DETECTED].add_metric([], drifted)
        for report in reports:
            values = {
                "expected": report.expected, "reviews": report.reviewed, "reviews_low": report.low,
                "reviews_high": report.high,
            }  # fmt: skip
            for estimate, value in values.items():
                if value is not None:
                    families[ACCURACY].add_metric([report.model_version, estimate], value)
            families[ACCURACY_DIVERGED].add_metric([report.model_version], report.diverged)

    def _read_registry(self, families: Families) -> None:
        current = self._registry.current()
        families[CURRENT_EPOCH].add_metric([], current.epoch)
        families[CURRENT_TRAINED_AT].add_metric([], self._registry.manifest(current.version).created_at.timestamp())


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
