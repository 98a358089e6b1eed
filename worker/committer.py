"""The pipe's last thread: one statement a window, then, and only then, the entries leave Redis."""

import queue
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import structlog

from triagem.contracts.errors import UnreadableEntry
from triagem.contracts.ticket import Lane
from triagem.contracts.wire import ClaimCheck, decode_check
from triagem.db import Database
from triagem.db.dead import bury
from triagem.db.rewrite import Reclassified, rewrite
from triagem.db.rewrite import rehearse as rehearse_run
from triagem.db.samples import Sample, keep
from triagem.db.window import Classified, rehearse, write
from triagem.inbox import Entry, Inbox
from triagem.worker import metrics
from triagem.worker.batch import Condemned, Done
from triagem.worker.bisect import reason, sift
from triagem.worker.causes import Cause
from triagem.worker.outage import outwait
from triagem.worker.supervisor import Supervisor
from triagem.worker.told import Told

log = structlog.get_logger(__name__)

T = TypeVar("T")
Row = Classified | Reclassified


class Committer:
    """Merges what is ready into one window: while one statement is on its way, the next window grows."""

    def __init__(
        self,
        inbox: Inbox,
        database: Database,
        supervisor: Supervisor,
        *,
        window_max: int,
        settled: Callable[[list[Entry]], None],
        names: Collection[str],
    ) -> None:
        self._inbox, self._database, self._supervisor = inbox, database, supervisor
        self._window_max = window_max
        self._settled = settled
        self._names = names
        self._told = Told()

    @property
    def total(self) -> int:
        """Rows that were stored."""
        return self._told.total

    def run(self, inlet: "queue.Queue[Done | None]") -> None:
        """Commit and settle until None comes. Raises Retryable if an outage outlasts the stop."""
        ended = False
        while not ended and self._supervisor.failure is None:
            self._supervisor.beat()
            try:
                first = inlet.get(timeout=0.5)
            except queue.Empty:
                continue
            window = Done()
            ended = first is None
            while first is not None:
                _merge(window, first)
                if len(window.entries) + len(window.dropped) >= self._window_max:
                    break
                try:
                    first = inlet.get_nowait()
                except queue.Empty:
                    break
                ended = first is None
            self._commit(window)

    def _commit(self, window: Done) -> None:
        if window.rows:
            began = time.monotonic()
            stored, refused = self._patiently(lambda: self._write(window))
            spent = time.monotonic() - began
            metrics.COMMIT_SECONDS.observe(spent)
            _count([row for _, row in stored])
            window.dead.extend(
                Condemned(entry, Cause.NOT_STORED, f"it cannot be stored: {reason(error)}")
                for (entry, _), error in refused
            )
            self._settle([entry for entry, _ in stored])
            self._told.window(
                stored, window.spent, commit_s=spent, dropped=len(window.dropped), dead=len(window.dead)
            )
        if window.dropped:
            self._settle(window.dropped)
        for one in window.dead:
            self._bury(one)
        if window.samples:
            self._keep(window.samples)

    def _write(self, window: Done) -> tuple[list[tuple[Entry, Row]], list[tuple[tuple[Entry, Row], Exception]]]:
        def work(some: Sequence[tuple[Entry, Row]]) -> list[None]:
            write(self._database, [row for _, row in some if isinstance(row, Classified)])
            rewrite(self._database, [row for _, row in some if isinstance(row, Reclassified)])
            return [None] * len(some)

        def check() -> None:
            if fresh := next((row for row in window.rows if isinstance(row, Classified)), None):
                rehearse(self._database, fresh)
            if again := next((row for row in window.rows if isinstance(row, Reclassified)), None):
                rehearse_run(self._database, again)

        pairs = list(zip(window.entries, window.rows, strict=True))
        done, refused = sift(pairs, work, check)
        return [pair for pair, _ in done], refused

    def _bury(self, one: Condemned) -> None:
        """Keep it, then let it leave Redis, unless another worker has claimed it from us: then it is theirs."""
        if self._patiently(lambda: self._inbox.owner(one.entry)) in self._names:
            entry = one.entry
            payload = entry.payload or b""
            keep = partial(bury, self._database, entry.lane, entry.id, payload, one.reason, attempts=one.attempts)
            self._patiently(keep)
            if check := _check_of(payload):
                self._patiently(partial(rewrite, self._database, [Reclassified(check, "failed")]))
            metrics.DEAD.labels(one.cause.value).inc()
            log.error(
                "dead letter",
                lane=str(entry.lane),
                entry=entry.id.decode(),
                cause=one.cause.value,
                why=one.reason,
                **({"request_id": entry.request_id} if entry.request_id else {}),
            )
            self._settle([one.entry])
        else:
            self._settled([one.entry])

    def _keep(self, samples: Sequence[Sample]) -> None:
        try:
            keep(self._database, samples)
        except Exception as error:  # noqa: BLE001 - whatever it is, no ticket waits for a sample
            log.warning("samples lost", samples=len(samples), why=reason(error))

    def _settle(self, entries: list[Entry]) -> None:
        self._patiently(lambda: self._inbox.settle(entries))
        self._settled(entries)

    def _patiently(self, call: Callable[[], T]) -> T:
        return outwait(call, self._supervisor)


def _count(rows: Sequence[Row]) -> None:
    now = datetime.now(UTC)
    labels, results = Counter[str](), Counter[tuple[str, str]]()
    for row in rows:
        if isinstance(row, Reclassified):
            continue
        labels[row.prediction.label] += 1
        results[row.prediction.band.value, row.lane.value] += 1
        if row.lane is Lane.LIVE:
            metrics.CONFIDENCE.observe(row.prediction.confidence)
            metrics.LATENCY.observe(max(0.0, (now - row.received_at).total_seconds()))
    for label, count in labels.items():
        metrics.PREDICTIONS.labels(label).inc(count)
    for key, count in results.items():
        metrics.RESULTS.labels(*key).inc(count)
    metrics.WINDOW.observe(len(rows))
    metrics.RECLASSIFIED.inc(len(rows) - labels.total())


def _merge(window: Done, more: Done) -> None:
    window.rows.extend(more.rows)
    window.entries.extend(more.entries)
    window.dropped.extend(more.dropped)
    window.dead.extend(more.dead)
    window.samples.extend(more.samples)
    window.spent.add(more.spent)


def _check_of(payload: bytes) -> ClaimCheck | None:
    with suppress(UnreadableEntry):
        return decode_check(payload)
    return None
