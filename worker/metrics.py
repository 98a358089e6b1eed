"""Every metric of a worker, named and explained once. The first two are the seed document's.

A label's values are few and known beforehand: the manifest's labels, bands, lanes, causes. Never a ticket, a source
or a text. What all workers share (the inbox, dead letters that are kept, runs) is told by `triagem.worker.stores`.
"""

from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Lane
from triagem.worker.causes import Cause

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITING: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 28800)

PREDICTIONS: Final = Counter("predictions", "Tickets classified and committed; not those of a run", ["class"])
LATENCY: Final = Histogram(
    "prediction_latency_seconds", "From put to committed row, live tickets only", buckets=_WAITING[:14]
)
RESULTS: Final = Counter("triagem_results", "Tickets classified and committed, by band", ["band", "lane"])
CONFIDENCE: Final = Histogram(
    "triagem_confidence",
    "Confidence of committed results, live tickets only",
    buckets=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1),
)
KNOWN: Final = Counter("triagem_known", "Tickets whose text this model version had classified before: no model ran")
RECLASSIFIED: Final = Counter("triagem_reclassified", "Stored tickets that a run had looked at again")
DEAD: Final = Counter("triagem_dead_letters", "Entries that were kept as dead letters", ["cause"])

QUEUE_SECONDS: Final = Histogram(
    "triagem_queue_seconds", "From put until the model took the ticket up", ["lane"], buckets=_WAITING
)
TOKENISE_SECONDS: Final = Histogram(
    "triagem_tokenise_seconds", "One call of the tokeniser, for what was taken at once", buckets=_SECONDS
)
MODEL_SECONDS: Final = Histogram(
    "triagem_model_seconds", "One micro-batch through the model; the sum is the model's busy time", buckets=_SECONDS
)
COMMIT_SECONDS: Final = Histogram(
    "triagem_commit_seconds", "One window's statement, also while Postgres is waited for", buckets=_SECONDS
)

BATCH_TEXTS: Final = Histogram(
    "triagem_batch_texts",
    "Texts of a micro-batch that the model computed",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
BATCH_TOKENS: Final = Histogram(
    "triagem_batch_tokens",
    "Tokens of a micro-batch that the model computed",
    buckets=(64, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768),
)
BATCH_FILL: Final = Histogram(
    "triagem_batch_fill",
    "A micro-batch's share of TRIAGEM_BATCH_SIZE or TRIAGEM_BATCH_TOKENS, whichever it comes nearer to",
    buckets=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1),
)
WINDOW: Final = Histogram(
    "triagem_window_tickets", "Tickets that one statement stored", buckets=(1, 4, 16, 32, 64, 128, 256, 512, 1024)
)

CLAIMS: Final = Counter("triagem_claims", "Entries taken over from dead workers", ["lane"])
REDELIVERIES: Final = Counter("triagem_redeliveries", "Entries taken once more after a cut reply", ["lane"])

MEMORY_LIMIT: Final = Gauge("triagem_memory_limit_bytes", "What a worker's process may use: container or machine")

EPOCH: Final = Gauge("triagem_model_epoch", "Epoch of the running model")
MODEL: Final = Gauge("triagem_model_info", "1 for the running model", ["version", "precision"])


def running(version: str, precision: str, epoch: int, labels: Sequence[str]) -> None:
    """This model runs from now on. What it may say is counted from 0, so that a first time is seen as a rise."""
    MODEL.clear()
    MODEL.labels(version, precision).set(1)
    EPOCH.set(epoch)
    for label in labels:
        PREDICTIONS.labels(label)


def _from_zero() -> None:
    for lane in Lane:
        for each in (CLAIMS, REDELIVERIES, QUEUE_SECONDS):
            each.labels(lane.value)
        for band in Band:
            RESULTS.labels(band.value, lane.value)
    for cause in Cause:
        DEAD.labels(cause.value)


_from_zero()
