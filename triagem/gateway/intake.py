"""Puts the tickets of requests into the inbox. Requests that arrive together share one call to Redis."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from triagem.contracts.errors import InboxUnavailable
from triagem.contracts.ticket import Lane
from triagem.inbox import Batch, Inbox, PutRecord

# Per call, so that Redis answers others soon. A larger batch has a call of its own.
_MAX_ENTRIES: Final = 1000
_MAX_BYTES: Final = 1_048_576


class Intake:
    """Batches that arrive while a call is under way wait for it and share the next one. For one event loop.

    Each lane has its own thread: while Redis hangs, other requests still find free threads.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._waiting: dict[Lane, list[tuple[Batch, asyncio.Future[PutRecord]]]] = {lane: [] for lane in Lane}
        self._callers: dict[Lane, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(len(Lane), "intake")

    async def put(self, lane: Lane, batch: Batch) -> PutRecord:
        """Add a batch, all or nothing. Raises InboxFull, InboxUnavailable or AccessDenied."""
        result: asyncio.Future[PutRecord] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append((batch, result))
        if lane not in self._callers:
            self._callers[lane] = asyncio.create_task(self._call(lane))
        return await result

    async def _call(self, lane: Lane) -> None:
        loop, waiting = asyncio.get_running_loop(), self._waiting[lane]
        try:
            while waiting:
                count = _fitting([batch for batch, _ in waiting])
                taken = waiting[:count]
                del waiting[:count]
                batches = [batch for batch, _ in taken]
                results: Sequence[PutRecord | Exception]
                try:
                    results = await loop.run_in_executor(self._threads, self._inbox.put_batches, lane, batches)
                except Exception as error:  # noqa: BLE001 - each request raises it
                    if isinstance(error, InboxUnavailable):  # those that waited for it would only wait again
                        taken += waiting
                        waiting.clear()
                    results = [error] * len(taken)
                for (_, future), result in zip(taken, results, strict=True):
                    if future.done():  # the request was cancelled
                        continue
                    if isinstance(result, PutRecord):
                        future.set_result(result)
                    else:
                        future.set_exception(result)
        finally:
            del self._callers[lane]


def _fitting(batches: list[Batch]) -> int:
    """The number of the first batches that one call takes: at least one."""
    entries = size = 0
    for count, batch in enumerate(batches):
        entries += len(batch.payloads)
        size += sum(map(len, batch.payloads))
        if count and (entries > _MAX_ENTRIES or size > _MAX_BYTES):
            return count
    return len(batches)
