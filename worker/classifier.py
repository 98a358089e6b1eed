"""Second pipeline thread: runs micro-batches through the model and decides labels and bands."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from math import inf
from typing import Final

from triagem.contracts.conversation import combine_all
from triagem.contracts.model import Model
from triagem.contracts.prediction import Prediction, Thresholds
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.tickets.queries import recent_confidences
from triagem.worker import metrics
from triagem.worker.bands import BUDGET_SAMPLE, ReviewBudget, decide_band, require_finite
from triagem.worker.batch import (
    Cause,
    CommitBatch,
    FailedEntry,
    Limits,
    MicroBatch,
    ServedModel,
    StageTimings,
    WorkItem,
)
from triagem.worker.drift_sampler import DriftSampler
from triagem.worker.failures import PROOF, Device, Retrier, run_isolating_failures, safe_reason
from triagem.worker.models import self_check
from triagem.worker.scheduler import Slot
from triagem.worker.settings import WorkerSettings
from triagem.worker.supervisor import Supervisor

# Resolved once: looking up a labelled series costs as much as counting.
_HALF_FULL: Final = 0.5
_QUEUE_SECONDS: Final = {lane: metrics.QUEUE_SECONDS.labels(lane.value) for lane in Lane}


class Classifier:
    """The only thread that runs the model.

    `rate` is tickets per busy second, smoothed. `full_rate` is this worker's capacity, independent of its current
    load: it counts only micro-batches that were at least half full, and is 0 until there was one. (On a GPU, one text
    takes about as long as 32. A rate measured at low load would request 32 times as many GPUs for a backlog.)
    `batch_s` is the time per micro-batch, with decisions and rows, smoothed.
    """

    def __init__(self, database: Database, supervisor: Supervisor, settings: WorkerSettings) -> None:
        self._database, self._supervisor, self._settings = database, supervisor, settings
        self._retry = Retrier(supervisor)
        self._device = Device()
        self._sampler = DriftSampler(settings.sample_share, settings.batch_size)
        self._budgets: dict[str, ReviewBudget] = {}
        self.rate = self.full_rate = self.batch_s = 0.0

    def run(self, inlet: Slot[list[MicroBatch]], submit: Callable[..., None]) -> None:
        """Classify until the inlet is exhausted. Raises ModelBroken or OutOfMemory if no text is to blame.

        Args:
            submit: passes a batch, or None at the end, to the committer; without `wait`, drops it while its queue is
                full.
        """
        while not inlet.exhausted:
            self._supervisor.beat()
            batches = inlet.get(0.5)
            for batch in batches or []:
                if self._supervisor.failure is None:
                    started = time.perf_counter()
                    done = self._classify(batch)
                    self.batch_s = _smoothed(self.batch_s, time.perf_counter() - started)
                    submit(done)
            if self._supervisor.failure is None and (samples := self._sampler.samples(idle=batches is None)):
                # Submit samples after their tickets, which must be stored first. When idle, do not wait: the next
                # batch may run under a solo marker, which must not cover a wait (INV-9). Samples may be lost.
                submit(CommitBatch(samples=samples), wait=batches is not None)
        submit(None)

    def _classify(self, batch: MicroBatch) -> CommitBatch:
        model = batch.served_by.model
        done = CommitBatch()
        uncached = [item for item in batch.items if item.cached is None]
        metrics.CACHE_HITS.inc(len(batch.items) - len(uncached))
        done.timings.add(_wait_timings(batch.items))
        predictions = {item.entry.id: item.cached for item in batch.items if item.cached is not None}
        if not uncached:
            batch.computed.set()
        else:
            computed, failed, done.timings.model_s = self._run_model(uncached, batch.served_by)
            batch.computed.set()  # skipped if the batch raises: the fetcher then keeps the marker
            now = datetime.now(UTC)
            # Computed once per batch: copying the pydantic model for each text would take a third of the decision
            # time.
            thresholds = self._settings.thresholds(model.manifest.thresholds)
            predictions |= {
                item.entry.id: (self._decide(item, model, row, thresholds), now) for item, row in computed
            }
            done.dead.extend(
                FailedEntry(item.entry, Cause.MODEL_FAILS, f"the model fails on this text: {safe_reason(error)}")
                for item, error in failed
            )
        for item in batch.items:
            if item.entry.id in predictions:
                item.add_result(done, batch.served_by, *predictions[item.entry.id])
        if done.classified:
            items = {item.entry.id: item for item in batch.items}
            self._sampler.add(model, [(items[entry.id], row) for entry, row in done.classified])
        return done

    def _run_model(
        self, items: Sequence[WorkItem], served_by: ServedModel
    ) -> tuple[list[tuple[WorkItem, list[float]]], list[tuple[WorkItem, Exception]], float]:
        model = served_by.model

        def compute(batch: Sequence[WorkItem]) -> list[list[float]]:
            rows = model.probabilities([tokens for item in batch for tokens in item.tokens])
            for row in rows:
                require_finite(row, model.manifest.labels)
            return combine_all([item.parts for item in batch], rows)

        def work(batch: Sequence[WorkItem]) -> list[list[float]]:
            self._supervisor.beat()
            return self._device.watch(batch, partial(compute, batch))

        def check() -> None:
            self._device.watch([], partial(self_check, model))

        started = time.perf_counter()
        computed, failed = run_isolating_failures(items, work, check, PROOF)
        self._device.count_failures([item for item, _ in failed])
        busy = max(1e-9, time.perf_counter() - started)
        fill = self._count(items, served_by.limits, busy)
        # Per busy second: a rate by the wall clock would drop to zero on an idle system.
        self.rate = _smoothed(self.rate, len(items) / busy)
        if fill >= _HALF_FULL:
            self.full_rate = _smoothed(self.full_rate, len(items) / busy)
        return computed, failed, busy

    def _count(self, items: Sequence[WorkItem], limits: Limits, busy_s: float) -> float:
        texts, tokens = sum(len(item.tokens) for item in items), sum(item.token_count for item in items)
        # At most 1: a single long text may exceed the limit.
        fill = min(1.0, max(texts / limits.texts, tokens / (limits.tokens or inf)))
        metrics.MODEL_SECONDS.observe(busy_s)
        metrics.BATCH_TEXTS.observe(texts)
        metrics.BATCH_TOKENS.observe(tokens)
        metrics.BATCH_FILL.observe(fill)
        return fill

    def _decide(self, item: WorkItem, model: Model, row: list[float], thresholds: Thresholds) -> Prediction:
        budget = self._budget_of(model.manifest.version, thresholds.review_budget)
        abstain = item.abstains is not None
        decision = decide_band(row, model.manifest.labels, thresholds, budget_cutoff=budget.cutoff, abstain=abstain)
        if item.entry.lane is Lane.LIVE and not abstain:
            budget.add(decision.confidence)
        return Prediction(
            decision.label,
            decision.confidence,
            decision.probabilities,
            decision.band,
            model.manifest.version,
            item.token_count,
            any(tokens.truncated for tokens in item.tokens),
            item.abstains,
        )

    def _budget_of(self, version: str, share: float) -> ReviewBudget:
        """The review budget of a version, because confidences differ between versions. At most two are in use."""
        if version not in self._budgets:
            fetch = partial(recent_confidences, self._database, version, limit=BUDGET_SAMPLE)
            self._budgets = dict([*self._budgets.items()][-1:]) | {version: ReviewBudget(share, self._retry(fetch))}
        return self._budgets[version]


def _smoothed(previous: float, rate: float) -> float:
    return 0.8 * previous + 0.2 * rate if previous else rate


def _wait_timings(items: Sequence[WorkItem]) -> StageTimings:
    """Wait time since enqueue, and tokenization time.

    Compares two clocks: the clock of Redis and that of this process.
    """
    now = time.time()
    waits: dict[Lane, list[float]] = {lane: [] for lane in Lane}
    for item in items:
        waits[item.entry.lane].append(max(0.0, now - item.entry.put_at))
    for lane, waited in waits.items():
        _QUEUE_SECONDS[lane].observe_all(waited)
    return StageTimings(max(chain(*waits.values()), default=0.0), sum([item.tokenize_s for item in items]))
