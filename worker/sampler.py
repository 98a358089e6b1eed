"""Which live tickets are looked at once more, and what the model sees in them. To notice drift; see `trainer.drift`.

Nobody waits for a sample: it is taken where nothing waits, or a micro-batch of them at once, and lost where
anything goes wrong.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final
from zlib import crc32

import structlog

from triagem.contracts.model import Embeds, Model, Tokens
from triagem.contracts.text import clean
from triagem.contracts.ticket import PREDICT, Lane
from triagem.db.samples import Sample
from triagem.db.window import Classified
from triagem.engine.language import language
from triagem.worker.batch import Item
from triagem.worker.bisect import reason

log = structlog.get_logger(__name__)

_NAMED: Final = ("language", "lang", "locale")  # what a CRM may call a ticket's language in its metadata
_PAUSE_S: Final = 1.0  # thousands a second tell no more than dozens


class Sampler:
    """Holds at most `size` chosen texts of one model. Only the classifier's thread calls it."""

    def __init__(self, share: float, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._share, self._size, self._clock = share, size, clock
        self._model: Model | None = None
        self._eyes: Embeds | None = None
        self._chosen: list[tuple[Tokens, Classified]] = []
        self._looked_at = float("-inf")

    def note(self, model: Model, classified: Iterable[tuple[Item, Classified]]) -> None:
        """Choose among tickets that the model has just classified."""
        if model is not self._model:
            self._model, self._chosen = model, []
            self._eyes = model if self._share and isinstance(model, Embeds) else None
        if self._eyes is None:
            return
        self._chosen += [(item.tokens, row) for item, row in classified if self._wanted(item, row)]
        del self._chosen[self._size :]

    def look(self, *, idle: bool) -> list[Sample]:
        """What the model sees in the chosen ones, if it is time."""
        now = self._clock()
        due = (idle or len(self._chosen) == self._size) and now >= self._looked_at + _PAUSE_S
        if self._eyes is None or not self._chosen or not due:
            return []
        taken, self._chosen, self._looked_at = self._chosen, [], now
        try:
            embeddings = self._eyes.embed([tokens for tokens, _ in taken])
            return [Sample(row, one, _language(row)) for (_, row), one in zip(taken, embeddings, strict=True)]
        except Exception as error:  # noqa: BLE001 - their results are stored, and must not suffer
            log.warning("no samples of these tickets", tickets=len(taken), why=reason(error))
            return []

    def _wanted(self, item: Item, row: Classified) -> bool:
        """A customer's, live, looked at by the model just now, and not under suspicion of ending processes: such a
        ticket runs alone, to show whether it does."""
        fresh = item.known is None and item.entry.deaths is None and row.lane is Lane.LIVE
        return fresh and row.ticket.source != PREDICT and chosen(row, self._share)


def chosen(row: Classified, share: float) -> bool:
    """Whether a ticket is among the share. The same text of the same ticket always is or never is."""
    return crc32(row.ticket.external_id.encode(), crc32(row.digest)) < share * 2**32


def _language(row: Classified) -> str:
    named = next((row.ticket.metadata[name] for name in _NAMED if name in row.ticket.metadata), None)
    return language(clean(row.ticket.text), named)
