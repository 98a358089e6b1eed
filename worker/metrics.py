"""All metrics of a worker. The names of the first two come from the original specification.

Label values are few and known in advance: labels of the manifest, bands, lanes, causes. They are never a ticket, a
source or a text. State that all workers share (inbox, kept dead letters, runs) is exported by `triagem.ops.metrics`.
"""

from bisect import bisect_left
from collections import Counter as Count
from collections.abc import Iterator, Sequence
from typing import Any, Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Lane
from triagem.process import ScrapedGauge
from triagem.worker.batch import Cause

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAIT_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 28800)


class BatchHistogram(Histogram):
    """A histogram that observes the values of a batch together: one by one, each takes as long as a decision."""

    def observe_all(self, values: Sequence[float]) -> None:
        """Observe each value."""
        for bucket, count in Count([bisect_left(self._upper_bounds, value) for value in values]).items():
            self._buckets[bucket].inc(count)
        self._sum.inc(sum(values))


PREDICTIONS: Final = Counter(
    "predictions", "Tickets classified and committed, without reclassification runs", ["class"]
)
LATENCY: Final = BatchHistogram(
    "prediction_latency_seconds", "Time from enqueue to committed row, live tickets only", buckets=_WAIT_SECONDS[:14]
)
LANGUAGES: Final = Counter(
    "triagem_languages",
    "Tickets classified and committed, by the language of the text: `und` where it does not show",
    ["language"],
)
RESULTS: Final = Counter("triagem_results", "Tickets classified and committed, by band", ["band", "lane"])
CONFIDENCE: Final = BatchHistogram(
    "triagem_confidence",
    "Confidence of committed results, live tickets only",
    buckets=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1),
)
CACHE_HITS: Final = Counter(
    "triagem_prediction_cache_hits", "Tickets that this model version had classified before with the same text"
)
RECLASSIFIED: Final = Counter("triagem_reclassified", "Stored tickets processed by reclassification runs")
DEAD_LETTERS: Final = Counter("triagem_dead_letters", "Entries stored as dead letters, by cause", ["cause"])

QUEUE_SECONDS: Final = BatchHistogram(
    "triagem_queue_seconds", "Time from enqueue to the start of the model call", ["lane"], buckets=_WAIT_SECONDS
)
TOKENIZE_SECONDS: Final = Histogram(
    "triagem_tokenize_seconds", "Duration of a tokenizer call, one per fetched batch", buckets=_SECONDS
)
MODEL_SECONDS: Final = Histogram(
    "triagem_model_seconds",
    "Duration of a model call, one per micro-batch; the sum is the model's busy time",
    buckets=_SECONDS,
)
COMMIT_SECONDS: Final = Histogram(
    "triagem_commit_seconds",
    "Duration of a window's commit, including retries while Postgres is unavailable",
    buckets=_SECONDS,
)

BATCH_TEXTS: Final = Histogram(
    "triagem_batch_texts",
    "Texts per micro-batch",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
BATCH_TOKENS: Final = Histogram(
    "triagem_batch_tokens",
    "Tokens per micro-batch",
    buckets=(64, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768),
)
BATCH_FILL: Final = Histogram(
    "triagem_batch_fill",
    "Size of a micro-batch relative to TRIAGEM_BATCH_SIZE or TRIAGEM_BATCH_TOKENS, the larger of the two",
    buckets=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1),
)
WINDOW_TICKETS: Final = Histogram(
    "triagem_window_tickets", "Tickets stored by one statement", buckets=(1, 4, 16, 32, 64, 128, 256, 512, 1024)
)

RECLAIMED: Final = Counter("triagem_reclaimed_entries", "Entries reclaimed from dead workers", ["lane"])
REDELIVERIES: Final = Counter("triagem_redeliveries", "Entries fetched again after a lost reply", ["lane"])

MEMORY_LIMIT: Final = Gauge(
    "triagem_memory_limit_bytes", "Memory limit of the worker process: its container's or the machine's"
)

MODEL_EPOCH: Final = Gauge("triagem_model_epoch", "Epoch of the model in use")
MODEL_INFO: Final = Gauge("triagem_model_info", "1 for the model in use", ["version", "precision"])


def set_model(version: str, precision: str, epoch: int, labels: Sequence[str]) -> None:
    """Record the model in use. Its labels start at 0, so that Prometheus sees the first prediction as an increase."""
    MODEL_INFO.clear()
    MODEL_INFO.labels(version, precision).set(1)
    MODEL_EPOCH.set(epoch)
    for label in labels:
        PREDICTIONS.labels(label)


def _from_zero() -> None:
    for lane in Lane:
        for metric in (RECLAIMED, REDELIVERIES, QUEUE_SECONDS):
            metric.labels(lane.value)
        for band in Band:
            RESULTS.labels(band.value, lane.value)
    for cause in Cause:
        DEAD_LETTERS.labels(cause.value)


_from_zero()


GAUGES: Final = (
    ScrapedGauge("triagem_gpu_memory_used_bytes", "Used memory of a GPU, by all processes", ("gpu",)),
    ScrapedGauge("triagem_gpu_memory_bytes", "Total memory of a GPU", ("gpu",)),
    ScrapedGauge(
        "triagem_gpu_busy_ratio",
        "Share of the last sampling period in which a GPU was busy, with any process",
        ("gpu",),
    ),
)


class GpuCollector(Collector):
    """Reads all GPUs at each scrape. `nvml` is the initialised module pynvml."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Memory and utilisation of each GPU. A GPU that does not respond is left out."""
        used, total, busy = families = [gauge.family() for gauge in GAUGES]
        for number, handle in enumerate(self._handles):
            try:
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
            except self._nvml.NVMLError:
                continue
            used.add_metric([str(number)], memory.used)
            total.add_metric([str(number)], memory.total)
            busy.add_metric([str(number)], rates.gpu / 100)
        yield from families

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metric families without samples; reads no GPU."""
        return (gauge.family() for gauge in GAUGES)


def register_gpu_metrics() -> None:
    """Register the collector if NVML finds a driver."""
    try:
        import pynvml  # noqa: PLC0415 - for machines with GPUs
    except ImportError:
        return
    try:
        pynvml.nvmlInit()
        REGISTRY.register(GpuCollector(pynvml))
    except pynvml.NVMLError:
        return
