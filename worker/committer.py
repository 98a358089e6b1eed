"""The pipe's last thread: one statement a window, then, and only then, the entries leave Redis."""

import queue
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog

from contracts.ticket import Lane
from db import Database
from db.dead import bury
from db.window import write
from inbox import Entry, Inbox
from worker import metrics
from worker.batch import Done
from worker.outage import outwait
from worker.supervisor import Supervisor

log = structlog.get_logger(__name__)

_SAY_EVERY_S: Final = 10.0


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
    ) -> None:
        self._inbox, self._database, self._supervisor = inbox, database, supervisor
        self._window_max = window_max
        self._settled = settled
        self._said_at = time.monotonic()
        self._since = 0
        self.total = 0

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
                if len(window.entries) >= self._window_max:
                    break
                try:
                    first = inlet.get_nowait()
                except queue.Empty:
                    break
                ended = first is None
            self._commit(window)

    def _commit(self, window: Done) -> None:
        stopping, beat = self._supervisor.stopping, self._supervisor.beat
        for one in window.dead:
            keep = partial(bury, self._database, one.entry.lane, one.entry.id, one.entry.payload or b"", one.reason)
            outwait(keep, stopping=stopping, beat=beat)
            metrics.DEAD.inc()
            log.error("dead letter", entry=one.entry.id.decode(), why=one.reason)
        if window.rows:
            began = time.monotonic()
            outwait(lambda: write(self._database, window.rows), stopping=stopping, beat=beat)
            metrics.COMMIT_SECONDS.observe(time.monotonic() - began)
            self._count(window)
        entries = window.entries + [one.entry for one in window.dead]
        if entries:
            outwait(lambda: self._inbox.settle(entries), stopping=stopping, beat=beat)
            self._settled(entries)

    def _count(self, window: Done) -> None:
        now = datetime.now(UTC)
        metrics.WINDOW.observe(len(window.rows))
        for row in window.rows:
            metrics.PREDICTIONS.labels(row.prediction.label).inc()
            metrics.BANDS.labels(row.prediction.band.value).inc()
            if row.lane is Lane.LIVE:
                metrics.LATENCY.observe(max(0.0, (now - row.received_at).total_seconds()))
        self.total += len(window.rows)
        self._since += len(window.rows)
        if (passed := time.monotonic() - self._said_at) >= _SAY_EVERY_S:
            log.info("classified", tickets=self._since, per_s=round(self._since / passed, 1), total=self.total)
            self._said_at, self._since = time.monotonic(), 0


def _merge(window: Done, more: Done) -> None:
    window.rows.extend(more.rows)
    window.entries.extend(more.entries)
    window.dead.extend(more.dead)
