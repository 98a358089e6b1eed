"""Waiting for results: however many requests wait, one question at a time asks Postgres for all of them."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from triagem.contracts.errors import TriagemError
from triagem.contracts.result import Result

_EVERY_S: Final = 0.02


class Answers:
    """Who waits for which ticket of one source. It belongs to one event loop, and asks only while somebody waits.

    Args:
        ask: the results of tickets of these names, as far as there are any.
    """

    def __init__(self, ask: Callable[[Sequence[str]], Iterable[Result]]) -> None:
        self._ask = ask
        self._awaited: dict[str, asyncio.Future[Result]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def wait(self, name: str, seconds: float) -> Result | None:
        """The ticket's result, or None if there is none after so many seconds."""
        answer = self._awaited[name] = asyncio.get_running_loop().create_future()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._go_round())
        try:
            return await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            return None
        finally:
            del self._awaited[name]

    async def _go_round(self) -> None:
        while self._awaited:
            await asyncio.sleep(_EVERY_S)
            try:
                # Not in the pool of the endpoints: where all of them were busy, nobody would be answered.
                found = await asyncio.to_thread(self._ask, list(self._awaited))
            except TriagemError:  # who has waited long enough asks later
                continue
            for result in found:
                answer = self._awaited.get(result.external_id)
                if answer and not answer.done():
                    answer.set_result(result)
