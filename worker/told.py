"""What the pipe says in the log of what it has stored: a line a window, and every ten seconds a sum.

One ticket can be followed by it: a request's id stands in the gateway's line and in the window's, with the ids of the
window's entries; an entry's id begins with the millisecond that is the row's `received_at`. Nobody's words.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from secrets import token_hex
from typing import Final

import structlog

from triagem.contracts.ticket import Lane
from triagem.db.rewrite import Reclassified
from triagem.db.window import Classified
from triagem.inbox import Entry
from triagem.worker.batch import Spent

log = structlog.get_logger(__name__)
_wanted = logging.getLogger(__name__).isEnabledFor

_SUM_EVERY_S: Final = 10.0
# At the rates of a BERT on a CPU each window has its line. Where an engine makes more of them, the lines would be
# gigabytes a day: the others are said with `--verbose` only, and the sum says how many windows there were.
_LINES_A_SECOND: Final = 10
_IDS: Final = 32


class Told:
    """The committer's thread calls it, once a window."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at = self._second_at = clock()
        self._lines = 0
        self._tickets = self._windows = 0
        self.total = 0

    def window(
        self,
        stored: Sequence[tuple[Entry, Classified | Reclassified]],
        spent: Spent,
        *,
        commit_s: float,
        dropped: int,
        dead: int,
    ) -> None:
        """Say one window. `stored` are its entries with their rows, `dropped` and `dead` how many had none."""
        window, now = token_hex(6), self._clock()
        self.total += len(stored)
        self._tickets += len(stored)
        self._windows += 1
        level = logging.INFO if self._is_room(now) else logging.DEBUG
        if _wanted(level):
            entries = [entry for entry, _ in stored]
            log.log(
                level,
                "window",
                window=window,
                tickets=len(stored),
                **{lane.value: count for lane in Lane if (count := sum(one.lane is lane for one in entries))},
                **{name: count for name, count in (("dropped", dropped), ("dead", dead)) if count},
                model=_model(stored),
                queue_ms=_ms(spent.queue_s),
                tokenise_ms=_ms(spent.tokenise_s),
                model_ms=_ms(spent.model_s),
                commit_ms=_ms(commit_s),
                **_some("entries", (one.id.decode() for one in entries)),
                **_some("requests", dict.fromkeys(one.request_id for one in entries if one.request_id)),
            )
        if _wanted(logging.DEBUG):
            _say_each(window, stored)
        if (passed := now - self._said_at) >= _SUM_EVERY_S:
            log.info(
                "classified",
                tickets=self._tickets,
                windows=self._windows,
                per_s=round(self._tickets / passed, 1),
                total=self.total,
            )
            self._said_at, self._tickets, self._windows = now, 0, 0

    def _is_room(self, now: float) -> bool:
        if now - self._second_at >= 1.0:
            self._second_at, self._lines = now, 0
        self._lines += 1
        return self._lines <= _LINES_A_SECOND


def _say_each(window: str, stored: Iterable[tuple[Entry, Classified | Reclassified]]) -> None:
    """The seed document's line a prediction."""
    now = time.time()
    for entry, row in stored:
        said = row.prediction
        if said is None:
            continue
        log.debug(
            "prediction",
            window=window,
            entry=entry.id.decode(),
            input_length=len(row.ticket.text) if isinstance(row, Classified) else None,
            predicted_class=said.label,
            confidence=round(said.confidence, 4),
            latency_ms=_ms(max(0.0, now - entry.put_at)),
        )


def _some(name: str, ids: Iterable[str]) -> dict[str, object]:
    """The first few ids; how many more there are is said beside them."""
    every = list(ids)
    more = len(every) - _IDS
    return {name: list(islice(every, _IDS))} | ({f"more_{name}": more} if more > 0 else {}) if every else {}


def _model(stored: Iterable[tuple[Entry, Classified | Reclassified]]) -> str | None:
    return next((row.prediction.model_version for _, row in stored if row.prediction), None)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
