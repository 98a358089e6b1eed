"""The pipe of one process: take ► classify ► judge ► commit ► settle, in three threads with one place between two.

While the model computes a micro-batch, the next is taken and tokenised and the last is committed.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from contracts.errors import InboxAway, Retryable
from contracts.model import Model
from contracts.prediction import Prediction
from contracts.ticket import Lane
from db import Database
from db.known import recent_confidences
from db.window import Classified
from inbox import Inbox
from inbox.claims import Claims
from inbox.lease import Lease
from registry import Registry
from worker import health, metrics
from worker.batch import Done, Item, MicroBatch
from worker.committer import Committer
from worker.handover import Handover
from worker.judge import REMEMBERED, Budget, judge
from worker.keeper import Keeper
from worker.outage import outwait
from worker.rescue import Rescue
from worker.settings import WorkerSettings
from worker.supervisor import Supervisor
from worker.taker import Taker

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
        self._rate = 0.0
        self._budget: tuple[str, Budget] | None = None
        self._lease_s = inbox.settings.lease_s
        self._leased, self._committed = threading.Event(), threading.Event()
        self.supervisor = Supervisor(on_failure, deadline_s=settings.stop_deadline_s)
        self.lease = Lease(inbox.redis, self._lease_s)
        self.keeper = Keeper(registry, load, every_s=settings.look_every_s)
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
        self.committer = Committer(
            inbox,
            database,
            self.supervisor,
            window_max=settings.window_max,
            settled=self.taker.settled,
        )

    def start(self) -> None:
        """Start all threads; the first take waits for the lease and the model's warm-up."""
        spawn, stopping, beat = self.supervisor.spawn, self.supervisor.stopping, self.supervisor.beat
        spawn("keeper", lambda: self.keeper.run(stopping, beat))
        spawn("lease", self._keep_lease)
        spawn("taker", lambda: self.taker.run(self._to_model, after=(self._leased, self.keeper.ready)))
        spawn("classifier", self._classify)
        spawn("committer", self._commit)
        if file := self._settings.heartbeat_file:
            spawn("heartbeat", lambda: health.report(file, self.supervisor, self.keeper.ready))

    def stop(self) -> bool:
        """Finish what is in hand, give the lease back and leave; False if a thread failed or did not end in time."""
        self.supervisor.stopping.set()
        self.keeper.nudge()
        ended = self.supervisor.join()
        with suppress(Retryable):  # Redis is away: the lease ends by itself
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
            "busy_rate_per_s": round(self._rate, 1),
            "silent_s": round(self.supervisor.silent_s(), 1),
        }

    def _keep_lease(self) -> None:
        stopping, beat = self.supervisor.stopping, self.supervisor.beat
        outwait(self.lease.take, stopping=stopping, beat=beat)
        self._leased.set()
        # Not until `stopping` but until all is settled: what is in hand must not be claimed meanwhile.
        while not self._committed.wait(self._lease_s / 3):
            beat()
            if not outwait(self._refresh, stopping=stopping, beat=beat):
                log.warning("lease lost, going on under a new name", consumer=self.lease.consumer)

    def _refresh(self) -> bool:
        try:
            return self.lease.refresh()
        except InboxAway:
            self._rescue.hold()
            raise

    def _classify(self) -> None:
        while not self._to_model.ended:
            self.supervisor.beat()
            batch = self._to_model.take(0.5)
            if batch is not None and not self._committed.is_set():
                self._offer(self._judged(batch))
        self._offer(None)

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
        settings = self._settings
        return max(settings.batch_size, min(settings.window_max, int(self._rate * settings.window_s)))

    def _judged(self, batch: MicroBatch) -> Done:
        model = batch.running.model
        metrics.EPOCH.set(batch.running.epoch)
        fresh = [item for item in batch.items if item.known is None]
        metrics.SKIPPED.inc(len(batch.items) - len(fresh))
        answers: Iterator[list[float]] = iter(())
        if fresh:
            began = time.perf_counter()
            answers = iter(model.probabilities([item.tokens for item in fresh]))
            busy = max(1e-9, time.perf_counter() - began)
            metrics.MODEL_SECONDS.inc(busy)
            # Per busy second, smoothed: a rate by the wall clock would fall to nothing on an idle system.
            self._rate = 0.8 * self._rate + 0.2 * len(fresh) / busy if self._rate else len(fresh) / busy
        now = datetime.now(UTC)
        rows = []
        for item in batch.items:
            prediction, when = item.known or (self._decide(item, model, next(answers)), now)
            received_at = datetime.fromtimestamp(item.entry.put_at, UTC)
            rows.append(
                Classified(
                    item.ticket, item.digest, prediction, batch.running.epoch, item.entry.lane, received_at, when
                )
            )
        return Done(rows=rows, entries=[item.entry for item in batch.items])

    def _decide(self, item: Item, model: Model, row: list[float]) -> Prediction:
        thresholds = self._settings.thresholds(model.thresholds)
        budget = self._budget_of(model.version, thresholds.review_budget)
        said = judge(row, model.labels, thresholds, budget_cutoff=budget.cutoff)
        if item.entry.lane is Lane.LIVE:
            budget.remember(said.confidence)
        return Prediction(
            said.label,
            said.confidence,
            said.probabilities,
            said.band,
            model.version,
            len(item.tokens.ids),
            item.tokens.truncated,
        )

    def _budget_of(self, version: str, share: float) -> Budget:
        """The budget of a version: another one's confidences say nothing of this one's."""
        if self._budget is None or self._budget[0] != version:
            read = partial(recent_confidences, self._database, version, most=REMEMBERED)
            recent = outwait(read, stopping=self.supervisor.stopping, beat=self.supervisor.beat)
            self._budget = version, Budget(share, recent)
        return self._budget[1]
