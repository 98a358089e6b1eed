"""Waits for results: one query at a time polls Postgres for all waiting requests."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from triagem.contracts.errors import TriagemError
from triagem.contracts.result import Result

_POLL_INTERVAL_S: Final = 0.02


class ResultWaiter:
    """Requests that wait for tickets of one source. Belongs to one event loop; polls only while a request waits.

    Args:
        fetch: returns the results that exist for these external ids.
    """

    def __init__(self, fetch: Callable[[Sequence[str]], Iterable[Result]]) -> None:
        self._fetch = fetch
        self._waiting: dict[str, asyncio.Future[Result]] = {}
        self._poller: asyncio.Task[None] | None = None

    async def wait(self, external_id: str, seconds: float) -> Result | None:
        """The ticket's result, or None if there is none within `seconds`."""
        future = self._waiting[external_id] = asyncio.get_running_loop().create_future()
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return None
        finally:
            del self._waiting[external_id]

    async def _poll(self) -> None:
        while self._waiting:
            await asyncio.sleep(_POLL_INTERVAL_S)
            try:
                # Not in the endpoints' thread pool: with all its threads busy, no request would get its result.
                results = await asyncio.to_thread(self._fetch, list(self._waiting))
            except TriagemError:  # try again until the requests time out
                continue
            for result in results:
                future = self._waiting.get(result.external_id)
                if future and not future.done():
                    future.set_result(result)
