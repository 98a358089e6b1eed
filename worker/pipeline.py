"""The pipeline of one process: fetch ► prepare ► classify ► commit ► ack, in three threads.

While the model runs one micro-batch, the next is fetched and tokenized, and the previous one is committed.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from math import ceil
from pathlib import Path
from typing import Final

import structlog

from triagem.contracts.errors import Retryable
from triagem.contracts.model import Model
from triagem.db import Database
from triagem.db.model_versions import had_model
from triagem.engine.language import load_language_identifier
from triagem.inbox import Inbox
from triagem.inbox.lease import BEATS, COLLECTING, WARMING_UP, Lease
from triagem.inbox.reclaim import Reclaimer
from triagem.registry import Registry
from triagem.worker import health
from triagem.worker.batch import CommitBatch, MicroBatch
from triagem.worker.classifier import Classifier
from triagem.worker.committer import Committer
from triagem.worker.failures import Retrier
from triagem.worker.fetcher import Fetcher
from triagem.worker.in_flight import InFlight, Recovery
from triagem.worker.limits import limits_for
from triagem.worker.models import ModelManager, check_loaded
from triagem.worker.scheduler import Slot, hand_over_size
from triagem.worker.settings import WorkerSettings
from triagem.worker.supervisor import Supervisor

log = structlog.get_logger(__name__)

_STATE_S: Final = 0.5  # a new state, as after the model was loaded, is reported within this time
_MAX_UNCOMMITTED: Final = 8  # micro-batches that may wait for the previous statement


class Pipeline:
    """Builds, starts and stops the pipeline threads. `load` turns a version's folder into a model."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        database: Database,
        registry: Registry,
        load: Callable[[Path], Model],
        settings: WorkerSettings,
        on_failure: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._lease_s = inbox.settings.lease_s
        self._leased, self._committed = threading.Event(), threading.Event()
        self._on_failure = on_failure
        self._load = load
        self.supervisor = Supervisor(self._on_thread_failure, deadline_s=settings.stop_deadline_s)
        self.lease = Lease(inbox.redis, self._lease_s)
        self.models = ModelManager(
            registry,
            self._load_model,
            every_s=settings.poll_every_s,
            limits_for=partial(limits_for, settings=settings),
            had_model=partial(had_model, database),
            heartbeat_suspended=self.supervisor.heartbeat_suspended,
        )
        self._reclaimer = Reclaimer(inbox)
        self.in_flight = InFlight()
        self._recovery = Recovery(self._reclaimer, every_s=settings.claim_every_s, lease_s=self._lease_s)
        self._retry = Retrier(self.supervisor, self._recovery.on_outage)
        self._to_model: Slot[list[MicroBatch]] = Slot()
        self._to_committer: queue.Queue[CommitBatch | None] = queue.Queue(_MAX_UNCOMMITTED)
        self.fetcher = Fetcher(
            inbox=inbox,
            lease=self.lease,
            recovery=self._recovery,
            database=database,
            models=self.models,
            supervisor=self.supervisor,
            settings=settings,
            in_flight=self.in_flight,
            window=self._window,
            hand_over=lambda: hand_over_size(self.classifier.batch_s),
            submit=self._submit,
        )
        self.classifier = Classifier(database, self.supervisor, settings)
        self.committer = Committer(
            inbox,
            database,
            self.supervisor,
            window_max=settings.window_max,
            in_flight=self.in_flight,
            names=self.lease.names,
            log_predictions=settings.log_predictions,
        )

    def start(self) -> None:
        """Start all threads. The first fetch waits for the lease; without a model, tickets are stored unlabelled."""
        spawn, stopping, beat = self.supervisor.spawn, self.supervisor.stopping, self.supervisor.beat
        spawn("models", lambda: self.models.run(stopping, beat))
        spawn("lease", self._keep_lease)
        spawn("fetcher", self._fetch)
        spawn("classifier", self._classify)
        spawn("committer", self._commit)
        if file := self._settings.heartbeat_file:
            spawn("heartbeat", lambda: health.report(file, self.supervisor, self.models.ready))

    def request_stop(self) -> None:
        """Stop fetching. From now on, no entry is blamed if the process is killed."""
        self.supervisor.stopping.set()
        self.models.request_reload()
        self._clear_marker()

    def stop(self) -> bool:
        """Finish entries in flight, then release the lease; False if a thread failed or missed the deadline."""
        self.request_stop()
        ended = self.supervisor.join()
        with suppress(Retryable):  # Redis is unavailable: the lease expires by itself
            self._clear_marker()
            self.lease.release()
            self._reclaimer.remove_consumer(self.lease.consumer)
        self._database.close()
        return ended

    def _clear_marker(self) -> None:
        # Keep the marker if a text may be the reason: it made a thread exit, or it makes the model hang, so that the
        # liveness probe requests the stop.
        if self.supervisor.failure is None and self.supervisor.heartbeat_age_s() < health.ALIVE_S:
            self.fetcher.clear_marker()

    def _load_model(self, folder: Path) -> Model:
        with self.supervisor.heartbeat_suspended():
            load_language_identifier()
            model = self._load(folder)
            check_loaded(model)
            return model

    def _fetch(self) -> None:
        self.fetcher.collect(after=self._leased, until=self.models.ready)
        self.fetcher.run(self._to_model, after=(self._leased, self.models.ready))

    def _keep_lease(self) -> None:
        reported: tuple[str, float] | None = None
        self._retry(self.lease.acquire)
        self._retry(self._reclaimer.inbox.create_groups)
        self._leased.set()
        beat_s = self._lease_s / BEATS
        steps = ceil(beat_s / _STATE_S)
        # Runs until everything is acknowledged, not only until `stopping`: no other worker may reclaim entries in
        # flight meanwhile.
        for step in count(1):
            if self._committed.wait(beat_s / steps):
                return
            self.supervisor.beat()
            if due := step % steps == 0:
                # after a requested stop, `_retry` gives up at once, and the next beat tries again
                with suppress(Retryable):
                    if not self._retry(self.lease.refresh):
                        log.warning("lease_lost", new_consumer=self.lease.consumer)
                        reported = None
                if (used := health.used_ratio()) is not None:
                    with suppress(Retryable):
                        self.lease.report_memory(used)
            report = self._state(), self.classifier.full_rate
            if report != reported and (due or reported is None or report[0] != reported[0]):
                with suppress(Retryable):  # informational only
                    self.lease.report_state(*report)
                    reported = report

    def _state(self) -> str:
        """State of this worker, as `triagem backlog` shows it."""
        if self.models.collecting and not self.supervisor.waiting_for:
            return COLLECTING
        if reason := self.supervisor.waiting_for or self.models.waiting_for:
            return f"waiting: {reason}"
        if not self.models.ready.is_set():
            return WARMING_UP
        return f"at work: {problem}" if (problem := self.models.registry_problem) else "at work"

    def _on_thread_failure(self) -> None:
        # If an Exception reaches the supervisor, no entry caused it: failing entries were already isolated.
        # SystemExit and panics of C or Rust libraries may be caused by an entry, so the in-progress marker stays.
        try:
            if isinstance(self.supervisor.failure, Exception):
                self.fetcher.clear_marker()
        finally:
            self._on_failure()

    def _classify(self) -> None:
        try:
            self.classifier.run(self._to_model, self._submit)
        except Retryable:  # an outage outlasts the stop: the other threads must not wait for this one
            self._to_model.abandon()
            self._submit(None)
            raise

    def _commit(self) -> None:
        try:
            self.committer.run(self._to_committer)
        finally:
            self._committed.set()

    def _submit(self, batch: CommitBatch | None, *, wait: bool = True) -> None:
        """Pass a batch to the committer, with heartbeats while its queue is full; or drop it then, without `wait`.

        If the committer has exited, drop the batch: its entries stay pending, and another worker reclaims them.
        """
        while not self._committed.is_set():
            try:
                self._to_committer.put(batch, block=wait, timeout=0.5)
                return
            except queue.Full:
                if not wait:
                    return
                self.supervisor.beat()

    def _window(self) -> int:
        """Number of tickets to hold locally, in whole micro-batches: a partial one costs nearly as much."""
        settings, size = self._settings, self.models.current.limits.texts
        batches = ceil(self.classifier.rate * settings.window_s / size)
        return size * max(1, min(settings.window_max // size, batches))
