"""Logs stored windows: one line per window, and a summary every ten seconds.

The lines allow tracing a ticket: a request id appears in the gateway's line and in the window's line, with the entry
ids of the window; an entry id begins with the millisecond that is the row's `received_at`. No ticket text is logged.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from secrets import token_hex
from typing import Final

import structlog

from triagem.contracts.prediction import Prediction
from triagem.contracts.ticket import Lane
from triagem.db.runs.reclassification import ReclassifiedTicket
from triagem.db.tickets.window import ClassifiedTicket
from triagem.inbox import Entry
from triagem.worker.batch import StageTimings

log = structlog.get_logger(__name__)
_is_enabled = logging.getLogger(__name__).isEnabledFor

_SUMMARY_EVERY_S: Final = 10.0
# A BERT on a CPU stays below this rate. A faster engine would log gigabytes per day, so windows above the rate are
# logged only with `--verbose`. The summary counts all windows.
_MAX_LINES_PER_S: Final = 10
_MAX_IDS: Final = 3  # the lines of single predictions name each entry


class WindowLog:
    """Logs windows for the committer thread. Each prediction has a line too, at debug level, or at info if chosen."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, log_predictions: bool = False) -> None:
        self._prediction_level = logging.INFO if log_predictions else logging.DEBUG
        self._clock = clock
        self._summary_at = self._second_at = clock()
        self._lines = 0
        self._tickets = self._windows = 0
        self.total = 0

    def log_window(
        self,
        classified: Sequence[tuple[Entry, ClassifiedTicket]],
        timings: StageTimings,
        *,
        reclassified: Sequence[tuple[Entry, ReclassifiedTicket]] = (),
        commit_s: float,
        dropped: int,
        dead: int,
    ) -> None:
        """Log one window: its entries and rows; `dropped`, `dead`: number of entries without a row."""
        window, now, tickets = token_hex(6), self._clock(), len(classified) + len(reclassified)
        self.total += tickets
        self._tickets += tickets
        self._windows += 1
        level = logging.INFO if self._below_rate_limit(now) else logging.DEBUG
        if _is_enabled(level):
            entries = [entry for entry, _ in classified] + [entry for entry, _ in reclassified]
            rows: list[ClassifiedTicket | ReclassifiedTicket] = [row for _, row in (classified or reclassified)]
            models = (row.prediction.model_version for row in rows if row.prediction)
            log.log(
                level,
                "window",
                window=window,
                tickets=tickets,
                **{lane.value: count for lane in Lane if (count := sum(entry.lane is lane for entry in entries))},
                **{name: count for name, count in (("dropped", dropped), ("dead", dead)) if count},
                model=next(models, None),
                queue_ms=_ms(timings.queue_s),
                tokenize_ms=_ms(timings.tokenize_s),
                model_ms=_ms(timings.model_s),
                commit_ms=_ms(commit_s),
                **_first_ids("entries", (entry.id.decode() for entry in entries)),
                **_first_ids("requests", dict.fromkeys(entry.request_id for entry in entries if entry.request_id)),
            )
        if _is_enabled(self._prediction_level):
            for entry, row in classified:
                self._log_prediction(window, entry, row.prediction, len(row.ticket.text))
            for entry, result in reclassified:
                self._log_prediction(window, entry, result.prediction, None)
        if (elapsed := now - self._summary_at) >= _SUMMARY_EVERY_S:
            log.info(
                "classified",
                tickets=self._tickets,
                windows=self._windows,
                per_s=round(self._tickets / elapsed, 1),
                total=self.total,
            )
            self._summary_at, self._tickets, self._windows = now, 0, 0

    def _log_prediction(
        self, window: str, entry: Entry, prediction: Prediction | None, input_length: int | None
    ) -> None:
        """The original specification's fields, except `timestamp` (each line has it); empty without a prediction."""
        if prediction is not None:
            log.log(
                self._prediction_level,
                "prediction",
                window=window,
                entry=entry.id.decode(),
                input_length=input_length,
                predicted_class=prediction.label,
                confidence=round(prediction.confidence, 4),
                latency_ms=_ms(max(0.0, time.time() - entry.put_at)),
            )

    def _below_rate_limit(self, now: float) -> bool:
        if now - self._second_at >= 1.0:
            self._second_at, self._lines = now, 0
        self._lines += 1
        return self._lines <= _MAX_LINES_PER_S


def _first_ids(name: str, ids: Iterable[str]) -> dict[str, object]:
    """Log fields with the first ids, and the number of omitted ones."""
    listed = list(ids)
    more = len(listed) - _MAX_IDS
    return {name: list(islice(listed, _MAX_IDS))} | ({f"more_{name}": more} if more > 0 else {}) if listed else {}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
