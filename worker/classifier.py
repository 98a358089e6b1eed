"""The pipe's second thread: micro-batches through the model, probabilities to decisions."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from triagem.contracts.model import Model
from triagem.contracts.prediction import Prediction, Thresholds
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.known import recent_confidences
from triagem.db.rewrite import Checked, Reclassified
from triagem.db.window import Classified
from triagem.worker import metrics
from triagem.worker.batch import Condemned, Done, Item, MicroBatch, Spent
from triagem.worker.bisect import reason, sift
from triagem.worker.causes import Cause
from triagem.worker.handover import Handover
from triagem.worker.judge import REMEMBERED, Budget, judge, require_finite
from triagem.worker.outage import outwait
from triagem.worker.sampler import Sampler
from triagem.worker.selfcheck import self_check
from triagem.worker.settings import WorkerSettings
from triagem.worker.supervisor import Supervisor

# Looking a label's value up costs as much as counting.
_QUEUE: Final = {lane: metrics.QUEUE_SECONDS.labels(lane.value) for lane in Lane}


class Classifier:
    """The only thread that computes. `rate` is tickets per busy second, smoothed; `full_rate` that of micro-batches
    that were at least half full, 0 until there was one: what this worker can do, however little it has to do now.
    (On a GPU one text takes about as long as 32: of a trickle alone, a backlog would seem to need 32 times the GPUs.)
    """

    def __init__(self, database: Database, supervisor: Supervisor, settings: WorkerSettings) -> None:
        self._database, self._supervisor, self._settings = database, supervisor, settings
        self._sampler = Sampler(settings.sample_share, settings.batch_size)
        self._budgets: dict[str, Budget] = {}
        self.rate = self.full_rate = 0.0

    def run(self, inlet: Handover[MicroBatch], offer: Callable[[Done | None], None]) -> None:
        """Classify until the inlet has ended. Raises ModelBroken or OutOfMemory when no text is to blame."""
        while not inlet.ended:
            self._supervisor.beat()
            batch = inlet.take(0.5)
            if self._supervisor.failure is not None:
                continue
            if batch is not None:
                offer(self._judged(batch))
            if samples := self._sampler.look(idle=batch is None):
                offer(Done(samples=samples))  # behind their tickets: a sample is of a stored one
        offer(None)

    def _judged(self, batch: MicroBatch) -> Done:
        model = batch.running.model
        done = Done()
        fresh = [item for item in batch.items if item.known is None]
        metrics.KNOWN.inc(len(batch.items) - len(fresh))
        done.spent.add(_waited(batch.items))
        said = {item.entry.id: item.known for item in batch.items if item.known is not None}
        if fresh:
            answered, failed, done.spent.model_s = self._computed(fresh, model)
            now = datetime.now(UTC)
            thresholds = self._settings.thresholds(model.thresholds)  # a copy of a pydantic model: a third of judging
            said |= {item.entry.id: (self._decide(item, model, row, thresholds), now) for item, row in answered}
            done.dead.extend(
                Condemned(item.entry, Cause.MODEL_FAILS, f"the model fails on this text: {reason(error)}")
                for item, error in failed
            )
        sampled: list[tuple[Item, Classified]] = []
        for item in batch.items:
            if item.entry.id not in said:
                continue
            prediction, when = said[item.entry.id]
            done.entries.append(item.entry)
            if isinstance(item.ticket, Checked):
                done.rows.append(Reclassified(item.ticket.check, "done", prediction, when))
                continue
            received_at = datetime.fromtimestamp(item.entry.put_at, UTC)
            epoch, lane = batch.running.epoch, item.entry.lane
            row = Classified(item.ticket, item.digest, prediction, epoch, lane, received_at, classified_at=when)
            done.rows.append(row)
            sampled.append((item, row))
        if sampled:
            self._sampler.note(model, sampled)
        return done

    def _computed(
        self, items: Sequence[Item], model: Model
    ) -> tuple[list[tuple[Item, list[float]]], list[tuple[Item, Exception]], float]:
        def work(some: Sequence[Item]) -> list[list[float]]:
            self._supervisor.beat()
            rows = model.probabilities([item.tokens for item in some])
            for row in rows:
                require_finite(row, model.labels)
            return rows

        began = time.perf_counter()
        answered, failed = sift(items, work, partial(self_check, model))
        busy = max(1e-9, time.perf_counter() - began)
        self._count(items, busy)
        # Per busy second, smoothed: a rate by the wall clock would fall to nothing on an idle system.
        self.rate = _smoothed(self.rate, len(items) / busy)
        if self._half_full(items):
            self.full_rate = _smoothed(self.full_rate, len(items) / busy)
        return answered, failed, busy

    def _count(self, items: Sequence[Item], busy_s: float) -> None:
        texts, tokens = len(items), sum(len(item.tokens.ids) for item in items)
        fill = texts / self._settings.batch_size
        if most := self._settings.batch_tokens:
            fill = min(1.0, max(fill, tokens / most))  # one long text may stand alone above it
        metrics.MODEL_SECONDS.observe(busy_s)
        metrics.BATCH_TEXTS.observe(texts)
        metrics.BATCH_TOKENS.observe(tokens)
        metrics.BATCH_FILL.observe(fill)

    def _half_full(self, items: Sequence[Item]) -> bool:
        budget = self._settings.batch_tokens
        return 2 * len(items) >= self._settings.batch_size or (
            budget is not None and 2 * sum(len(item.tokens.ids) for item in items) >= budget
        )

    def _decide(self, item: Item, model: Model, row: list[float], thresholds: Thresholds) -> Prediction:
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
        """The budget of a version: another one's confidences say nothing of this one's. Two at most are at work."""
        if version not in self._budgets:
            read = partial(recent_confidences, self._database, version, most=REMEMBERED)
            recent = outwait(read, self._supervisor)
            self._budgets = dict([*self._budgets.items()][-1:]) | {version: Budget(share, recent)}
        return self._budgets[version]


def _smoothed(former: float, rate: float) -> float:
    return 0.8 * former + 0.2 * rate if former else rate


def _waited(items: Sequence[Item]) -> Spent:
    """How long they waited for this moment, and for the tokeniser. By two clocks, Redis' and ours."""
    now, longest = time.time(), 0.0
    for item in items:
        waited = max(0.0, now - item.entry.put_at)
        _QUEUE[item.entry.lane].observe(waited)
        longest = max(longest, waited)
    return Spent(longest, sum(item.tokenise_s for item in items))
