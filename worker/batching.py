"""Builds micro-batches from entries: decode, route to a model, prepare, plan."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from triagem.db import Database
from triagem.engine.planner import plan
from triagem.inbox import Entry
from triagem.worker.batch import CommitBatch, FailedEntry, MicroBatch
from triagem.worker.causes import Cause
from triagem.worker.isolate import run_isolating_failures, safe_reason
from triagem.worker.models import ModelManager
from triagem.worker.prepare import decode_entries, prepare_tickets
from triagem.worker.routing import route_to_models
from triagem.worker.selfcheck import self_check
from triagem.worker.settings import WorkerSettings

T = TypeVar("T")


class Retrier(Protocol):
    """Calls a function, and retries while a service is unavailable."""

    def __call__(self, call: Callable[[], T], /) -> T: ...


class MicroBatchBuilder:
    """Builds micro-batches. `waiting` holds entries whose shadow model is still being loaded."""

    def __init__(
        self,
        database: Database,
        models: ModelManager,
        settings: WorkerSettings,
        submit: Callable[[CommitBatch], None],
        retry: Retrier,
    ) -> None:
        self._database, self._models, self._settings = database, models, settings
        self._submit, self._retry = submit, retry
        self.waiting: list[Entry] = []

    def build(self, entries: list[Entry]) -> list[MicroBatch]:
        """Micro-batches, each for one model. Entries that need no model are submitted to the committer."""
        readable, failures = decode_entries(entries)
        routed = self._retry(partial(route_to_models, self._database, self._models, readable))
        self.waiting += routed.waiting
        batches = []
        for served_by, ready in routed.ready:
            work = partial(prepare_tickets, served_by=served_by, database=self._database)
            check = partial(self_check, served_by.model)
            done, failed = self._retry(partial(run_isolating_failures, ready, work, check))
            failures += [
                FailedEntry(entry, Cause.NOT_PREPARED, f"cannot clean or tokenise the text: {safe_reason(error)}")
                for (entry, _), error in failed
            ]
            items = [item for _, item in done]
            sizes = [len(item.tokens.ids) for item in items]
            planned = plan(sizes, batch_size=self._settings.batch_size, batch_tokens=self._settings.batch_tokens)
            batches += [MicroBatch(served_by, [items[index] for index in batch]) for batch in planned]
        routed.done.dead.extend(failures)
        if routed.done != CommitBatch():
            self._submit(routed.done)
        return batches
