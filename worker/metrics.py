"""Every metric of the worker, named and explained once. The first two are the seed document's."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

PREDICTIONS: Final = Counter("predictions", "Texts classified and committed", ["class"])
LATENCY: Final = Histogram(
    "prediction_latency_seconds",
    "From put to committed row, live tickets only",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
BANDS: Final = Counter("triagem_bands", "Decisions by band", ["band"])
SKIPPED: Final = Counter("triagem_model_skipped", "Tickets whose text this model version had already classified")
RECLASSIFIED: Final = Counter("triagem_reclassified", "Stored tickets that a run had looked at again")
DEAD: Final = Counter("triagem_dead_letters", "Entries that were kept as dead letters")
MODEL_SECONDS: Final = Counter("triagem_model_busy_seconds", "Time in which the model computed")
WINDOW: Final = Histogram("triagem_window_tickets", "Tickets in one statement", buckets=(1, 4, 16, 32, 64, 256, 1024))
COMMIT_SECONDS: Final = Histogram("triagem_commit_seconds", "One window's statement, round trip")
RESCUED: Final = Counter("triagem_rescued", "Entries taken over from dead workers, or taken again after a cut reply")
EPOCH: Final = Gauge("triagem_model_epoch", "Epoch of the running model")
