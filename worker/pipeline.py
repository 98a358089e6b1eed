"""The pipe of one process: take ► classify ► judge ► commit ► settle, in three threads with one place between two.

While the model computes a micro-batch, the next is taken and tokenised and the last is committed.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Final

import structlog

from triagem.contracts.errors import InboxAway, Retryable
from triagem.contracts.model import Embeds, Model
from triagem.db import Database
from triagem.engine.language import load_languages
from triagem.inbox import Inbox
from triagem.inbox.claims import Claims
from triagem.inbox.lease import WARMING_UP, Lease
from triagem.registry import Registry
from triagem.worker import health, memory
from triagem.worker.batch import Done, MicroBatch
from triagem.worker.classifier import Classifier
from triagem.worker.committer import Committer
from triagem.worker.handover import Handover
from triagem.worker.keeper import Keeper
from triagem.worker.outage import outwait
from triagem.worker.rescue import Rescue
from triagem.worker.selfcheck import checked
from triagem.worker.settings import WorkerSettings
from triagem.worker.supervisor import Supervisor
from triagem.worker.taker import Taker

log = structlog.get_logger(__name__)

_UNCOMMITTED: Final = 8  # micro-batches that may wait for the statement before theirs


class Pipeline:
    """Builds the threads and starts and stops them. `load` turns a version's folder into a model."""

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
        self._inbox = inbox
        self._database = database
        self._lease_s = inbox.settings.lease_s
        self._leased, self._committed = threading.Event(), threading.Event()
        self._on_failure = on_failure
        self._load = checked(load)
        self.supervisor = Supervisor(self._failed, deadline_s=settings.stop_deadline_s)
        self.lease = Lease(inbox.redis, self._lease_s)
        look_every_s, excused = settings.look_every_s, self.supervisor.excused
        self.keeper = Keeper(registry, self._loaded, every_s=look_every_s, excused=excused)
        self._claims = Claims(inbox)
        self._rescue = Rescue(self._claims, every_s=settings.claim_every_s, lease_s=self._lease_s)
        self._to_model: Handover[MicroBatch] = Handover()
        self._to_committer: queue.Queue[Done | None] = queue.Queue(_UNCOMMITTED)
        self.taker = Taker(
            inbox=inbox,
            lease=self.lease,
            rescue=self._rescue,
            database=database,
            keeper=self.keeper,
            supervisor=self.supervisor,
            settings=settings,
            window=self._window,
            bury=self._offer,
        )
        self.classifier = Classifier(database, self.supervisor, settings)
        self.committer = Committer(
            inbox,
            database,
            self.supervisor,
            window_max=settings.window_max,
            settled=self.taker.settled,
            names=self.lease.names,
        )

    def start(self) -> None:
        """Start all threads; the first take waits for the lease and the model's warm-up."""
        spawn, stopping, beat = self.supervisor.spawn, self.supervisor.stopping, self.supervisor.beat
        spawn("keeper", lambda: self.keeper.run(stopping, beat))
        spawn("lease", self._keep_lease)
        spawn("taker", lambda: self.taker.run(self._to_model, after=(self._leased, self.keeper.ready)))
        spawn("classifier", lambda: self.classifier.run(self._to_model, self._offer))
        spawn("committer", self._commit)
        if file := self._settings.heartbeat_file:
            spawn("heartbeat", lambda: health.report(file, self.supervisor, self.keeper.ready))

    def stop(self) -> bool:
        """Finish what is in hand, give the lease back and leave; False if a thread failed or did not end in time."""
        self.supervisor.stopping.set()
        self.keeper.nudge()
        ended = self.supervisor.join()
        with suppress(Retryable):  # Redis is away: the lease ends by itself
            if ended:
                self.taker.acquit()
            self.lease.release()
            self._claims.retire(self.lease.consumer)
        self._database.close()
        return ended

    def stats(self) -> dict[str, object]:
        """What a person wants to know of a running worker."""
        running = self.keeper.running if self.keeper.ready.is_set() else None
        return {
            "consumer": self.lease.consumer,
            "model": running.model.version if running else None,
            "epoch": running.epoch if running else None,
            "in_hand": self.taker.in_hand,
            "classified": self.committer.total,
            "busy_rate_per_s": round(self.classifier.rate, 1),
            "silent_s": round(self.supervisor.silent_s(), 1),
        }

    def _loaded(self, folder: Path) -> Model:
        with self.supervisor.excused():
            model = self._load(folder)
            if self._settings.sample_share and isinstance(model, Embeds):
                load_languages()
            return model

    def _keep_lease(self) -> None:
        said: tuple[str, float] | None = None
        outwait(self.lease.take, self.supervisor)
        self._leased.set()
        # Not until `stopping` but until all is settled: what is in hand must not be claimed meanwhile.
        while not self._committed.wait(self._lease_s / 3):
            self.supervisor.beat()
            if not outwait(self._refresh, self.supervisor):
                log.warning("lease lost, going on under a new name", consumer=self.lease.consumer)
                said = None
            if (share := memory.share()) is not None:
                with suppress(Retryable):
                    self.lease.say_memory(share)
            if (new := (self._state(), self.classifier.full_rate)) != said:
                with suppress(Retryable):  # nobody waits for this
                    self.lease.say(*new)
                    said = new

    def _state(self) -> str:
        """What `triagem backlog` shows of this worker."""
        if why := self.supervisor.waits_for or self.keeper.waits_for:
            return f"waiting: {why}"
        return "at work" if self.keeper.ready.is_set() else WARMING_UP

    def _refresh(self) -> bool:
        try:
            return self.lease.refresh()
        except InboxAway:
            self._rescue.hold()
            raise

    def _failed(self) -> None:
        # An error that reached us is no entry's fault: what an entry causes was sifted out. SystemExit and a panic
        # of a library in C or Rust are no such errors, and stay blamed on what was at work.
        try:
            if isinstance(self.supervisor.failure, Exception):
                self.taker.acquit()
        finally:
            self._on_failure()

    def _commit(self) -> None:
        try:
            self.committer.run(self._to_committer)
        finally:
            self._committed.set()

    def _offer(self, done: Done | None) -> None:
        """Hand over to the committer, alive while it waits out an outage; drop it if the committer has left:
        the entries stay pending, and another worker takes them over."""
        while not self._committed.is_set():
            try:
                self._to_committer.put(done, timeout=0.5)
                return
            except queue.Full:
                self.supervisor.beat()

    def _window(self) -> int:
        """Whole micro-batches: a part of one costs the model nearly as much as all of it."""
        settings = self._settings
        batches = ceil(self.classifier.rate * settings.window_s / settings.batch_size)
        return settings.batch_size * max(1, min(settings.window_max // settings.batch_size, batches))
