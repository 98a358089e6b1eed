"""Last pipeline thread: stores each window by one statement, and acknowledges its entries only after the commit."""

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
from triagem.contracts.ticket import Identity, Lane
from triagem.contracts.wire import StoredTicketRef, decode_ref
from triagem.db import Database
from triagem.db.runs.reclassification import ReclassifiedTicket, write_reclassified
from triagem.db.runs.reclassification import probe_write as probe_run_write
from triagem.db.tickets.dead_letters import insert_dead_letter
from triagem.db.tickets.samples import NewSample, store_samples
from triagem.db.tickets.window import ClassifiedTicket, UnlabelledTicket, probe_write, write_unlabelled, write_window
from triagem.inbox import Entry, Inbox
from triagem.worker import metrics
from triagem.worker.batch import Cause, CommitBatch, FailedEntry
from triagem.worker.failures import Retrier, run_isolating_failures, safe_reason
from triagem.worker.in_flight import InFlight
from triagem.worker.supervisor import Supervisor
from triagem.worker.window_log import WindowLog

log = structlog.get_logger(__name__)

Row = TypeVar("Row", ClassifiedTicket, ReclassifiedTicket, UnlabelledTicket)


class Committer:
    """Merges ready batches into one window: while a statement runs, the next window grows."""

    def __init__(
        self,
        inbox: Inbox,
        database: Database,
        supervisor: Supervisor,
        *,
        window_max: int,
        in_flight: InFlight,
        names: Collection[str],
        log_predictions: bool = False,
    ) -> None:
        self._inbox, self._database, self._supervisor = inbox, database, supervisor
        self._window_max = window_max
        self._in_flight = in_flight
        self._names = names
        self._retry = Retrier(supervisor)
        self._window_log = WindowLog(log_predictions=log_predictions)

    @property
    def total(self) -> int:
        """Number of rows stored since the start."""
        return self._window_log.total

    def run(self, inlet: "queue.Queue[CommitBatch | None]") -> None:
        """Commit and acknowledge until None arrives. Raises Retryable if a store is unavailable during the stop."""
        ended = False
        while not ended and self._supervisor.failure is None:
            self._supervisor.beat()
            try:
                batch = inlet.get(timeout=0.5)
            except queue.Empty:
                continue
            window = CommitBatch()
            ended = batch is None
            while batch is not None:
                window.add(batch)
                if window.size >= self._window_max:
                    break
                try:
                    batch = inlet.get_nowait()
                except queue.Empty:
                    break
                ended = batch is None
            self._commit(window)

    def _commit(self, window: CommitBatch) -> None:
        if window.classified or window.reclassified:
            started = time.monotonic()
            classified = self._store(
                window, window.classified, lambda database, rows: write_window(database, rows).late, probe_write
            )
            reclassified = self._store(window, window.reclassified, write_reclassified, probe_run_write)
            commit_s = time.monotonic() - started
            metrics.COMMIT_SECONDS.observe(commit_s)
            _count([row for _, row in classified], len(reclassified))
            self._ack([entry for entry, _ in classified] + [entry for entry, _ in reclassified])
            self._window_log.log_window(
                classified,
                window.timings,
                reclassified=reclassified,
                commit_s=commit_s,
                dropped=len(window.dropped),
                dead=len(window.dead),
            )
        if window.unlabelled:
            unlabelled = self._store(window, window.unlabelled, write_unlabelled, probe_write, "ticket")
            self._ack([entry for entry, _ in unlabelled])
            log.info("tickets_stored_unlabelled", tickets=len(unlabelled))
        if window.dropped:
            self._ack(window.dropped)
        for failed in window.dead:
            self._dead_letter(failed)
        if window.samples:
            self._store_samples(window.samples)

    def _store(
        self,
        window: CommitBatch,
        pairs: Sequence[tuple[Entry, Row]],
        write: Callable[[Database, Sequence[Row]], Collection[Identity] | None],
        probe: Callable[[Database, Row], None],
        stored_as: str = "result",
    ) -> list[tuple[Entry, Row]]:
        """Store rows by one statement; returns the stored pairs. Refused rows become dead letters of `window`.

        `write` returns tickets that have meanwhile become conversations. The entries of these tickets stay pending,
        and the fetcher gets them again as messages.
        """
        if not pairs:
            return []
        late = set[Identity]()

        def work(part: Sequence[tuple[Entry, Row]]) -> list[None]:
            self._supervisor.beat()
            late.update(write(self._database, [row for _, row in part]) or ())
            return [None] * len(part)

        def check() -> None:
            probe(self._database, pairs[0][1])

        done, refused = self._retry(lambda: run_isolating_failures(pairs, work, check))
        window.dead.extend(
            FailedEntry(entry, Cause.NOT_STORED, f"cannot store the {stored_as}: {safe_reason(error)}")
            for (entry, _), error in refused
        )
        stored = [pair for pair, _ in done]
        if late:
            self._in_flight.discard(entry for entry, row in stored if _is_late(row, late))
            stored = [(entry, row) for entry, row in stored if not _is_late(row, late)]
        return stored

    def _dead_letter(self, failed: FailedEntry) -> None:
        """Store the dead letter, then acknowledge the entry. Skips it if another worker has reclaimed the entry."""
        entry = failed.entry
        if self._retry(lambda: self._inbox.owner(entry)) in self._names:
            payload = entry.payload or b""
            insert = partial(insert_dead_letter, self._database, entry.lane, entry.id, payload, failed.reason)
            self._retry(partial(insert, attempts=failed.attempts))
            if ref := _stored_ticket_ref(payload):
                self._retry(partial(write_reclassified, self._database, [ReclassifiedTicket(ref, "failed")]))
            metrics.DEAD_LETTERS.labels(failed.cause.value).inc()
            log.error(
                "dead_letter",
                lane=str(entry.lane),
                entry=entry.id.decode(),
                cause=failed.cause.value,
                reason=failed.reason,
                **({"request_id": entry.request_id} if entry.request_id else {}),
            )
            self._ack([entry])
        else:
            self._in_flight.discard([entry])

    def _store_samples(self, samples: Sequence[NewSample]) -> None:
        try:
            store_samples(self._database, samples)
        except Exception as error:  # noqa: BLE001 - a lost sample must never stop tickets
            log.warning("samples_lost", samples=len(samples), reason=safe_reason(error))

    def _ack(self, entries: list[Entry]) -> None:
        self._retry(lambda: self._inbox.ack(entries))
        self._in_flight.discard(entries)


def _is_late(row: ClassifiedTicket | ReclassifiedTicket | UnlabelledTicket, late: Collection[Identity]) -> bool:
    return not isinstance(row, ReclassifiedTicket) and row.on_reply is None and row.identity in late


def _count(rows: Sequence[ClassifiedTicket], reclassified: int) -> None:
    now = datetime.now(UTC)
    labels, languages, results = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for row in rows:
        labels[row.prediction.label] += 1
        languages[row.detected] += 1
        results[row.prediction.band.value, row.lane.value] += 1
    live = [row for row in rows if row.lane is Lane.LIVE]
    metrics.CONFIDENCE.observe_all([row.prediction.confidence for row in live])
    metrics.LATENCY.observe_all([max(0.0, (now - row.received_at).total_seconds()) for row in live])
    for label, count in labels.items():
        metrics.PREDICTIONS.labels(label).inc(count)
    for language, count in languages.items():
        metrics.LANGUAGES.labels(language).inc(count)
    for key, count in results.items():
        metrics.RESULTS.labels(*key).inc(count)
    metrics.WINDOW_TICKETS.observe(len(rows) + reclassified)
    metrics.RECLASSIFIED.inc(reclassified)


def _stored_ticket_ref(payload: bytes) -> StoredTicketRef | None:
    with suppress(UnreadableEntry):
        return decode_ref(payload)
    return None
