"""Samples live tickets and computes their embeddings, for drift detection; see `trainer.monitor.drift`.

No ticket waits for a sample: embeddings are computed while the model is idle, or for a full micro-batch at once, and
are lost if anything fails.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final
from zlib import crc32

import structlog

from triagem.contracts.model import EmbeddingModel, Model, Tokens
from triagem.contracts.ticket import PREDICT_SOURCE, Lane
from triagem.db.tickets.samples import NewSample
from triagem.db.tickets.window import ClassifiedTicket
from triagem.worker.batch import WorkItem
from triagem.worker.failures import safe_reason

log = structlog.get_logger(__name__)

_PAUSE_S: Final = 1.0  # thousands of samples per second give no more information than dozens


class DriftSampler:
    """Holds at most `size` sampled texts of one model. Only for the classifier thread."""

    def __init__(self, share: float, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._share, self._size, self._clock = share, size, clock
        self._model: Model | None = None
        self._embedder: EmbeddingModel | None = None
        self._sampled: list[tuple[Tokens, ClassifiedTicket]] = []
        self._embedded_at = float("-inf")

    def add(self, model: Model, classified: Iterable[tuple[WorkItem, ClassifiedTicket]]) -> None:
        """Sample from the tickets that the model has just classified."""
        if model is not self._model:
            self._model, self._sampled = model, []
            self._embedder = model if self._share and isinstance(model, EmbeddingModel) else None
        if self._embedder is None:
            return
        self._sampled += [(item.tokens[0], row) for item, row in classified if self._is_eligible(item, row)]
        del self._sampled[self._size :]

    def samples(self, *, idle: bool) -> list[NewSample]:
        """Embeddings of the sampled tickets, if they are due; otherwise nothing."""
        now = self._clock()
        due = (idle or len(self._sampled) == self._size) and now >= self._embedded_at + _PAUSE_S
        if self._embedder is None or not self._sampled or not due:
            return []
        sampled, self._sampled, self._embedded_at = self._sampled, [], now
        try:
            embeddings = self._embedder.embed([tokens for tokens, _ in sampled])
            return [(row, embedding) for (_, row), embedding in zip(sampled, embeddings, strict=True)]
        except Exception as error:  # noqa: BLE001 - a failed sample must never stop tickets
            log.warning("samples_failed", tickets=len(sampled), reason=safe_reason(error))
            return []

    def _is_eligible(self, item: WorkItem, row: ClassifiedTicket) -> bool:
        """Whether the item is a live customer ticket that the model has just classified.

        Quarantined entries are excluded, because they run alone to show whether they crash the process.
        """
        fresh = item.cached is None and item.entry.solo_crashes is None and row.lane is Lane.LIVE
        return fresh and row.ticket.source != PREDICT_SOURCE and is_sampled(row, self._share)


def is_sampled(row: ClassifiedTicket, share: float) -> bool:
    """Whether the ticket belongs to the sampled share. Deterministic for the same text of the same ticket."""
    return crc32(row.ticket.external_id.encode(), crc32(row.digest)) < share * 2**32
