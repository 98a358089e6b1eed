"""Entries to micro-batches: read, sorted by the model that they need, tokenised and planned."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from triagem.db import Database
from triagem.engine.planner import plan
from triagem.inbox import Entry
from triagem.worker.batch import Condemned, Done, MicroBatch
from triagem.worker.bisect import reason, sift
from triagem.worker.causes import Cause
from triagem.worker.checks import sort
from triagem.worker.keeper import Keeper
from triagem.worker.prepare import prepare, read
from triagem.worker.selfcheck import self_check
from triagem.worker.settings import WorkerSettings

T = TypeVar("T")


class Patience(Protocol):
    """Calls, and waits out an outage."""

    def __call__(self, call: Callable[[], T], /) -> T: ...


class Preparer:
    """`waiting` holds entries for a model that is being loaded beside the running one."""

    def __init__(
        self,
        database: Database,
        keeper: Keeper,
        settings: WorkerSettings,
        bury: Callable[[Done], None],
        patiently: Patience,
    ) -> None:
        self._database, self._keeper, self._settings = database, keeper, settings
        self._bury, self._patiently = bury, patiently
        self.waiting: list[Entry] = []

    def batches(self, entries: list[Entry]) -> list[MicroBatch]:
        """Micro-batches, each of one model."""
        taken, condemned = read(entries)
        found = self._patiently(partial(sort, self._database, self._keeper, taken))
        self.waiting += found.waiting
        batches = []
        for running, some in found.ready:
            work = partial(prepare, running=running, database=self._database)
            done, failed = self._patiently(partial(sift, some, work, partial(self_check, running.model)))
            condemned += [
                Condemned(entry, Cause.UNPREPARED, f"this text cannot be prepared: {reason(error)}")
                for (entry, _), error in failed
            ]
            items = [item for _, item in done]
            sizes = [len(item.tokens.ids) for item in items]
            planned = plan(sizes, batch_size=self._settings.batch_size, batch_tokens=self._settings.batch_tokens)
            batches += [MicroBatch(running, [items[place] for place in batch]) for batch in planned]
        found.done.dead.extend(condemned)
        if found.done != Done():
            self._bury(found.done)
        return batches
